// HTTPS servers by Go: one that sends session tickets, and one that does not.
//
//	server CERTIFICATE KEY
//
// It prints and answers as server.py does. Go sends its ticket with its Finished.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

func monotonicNs() int64 {
	var now syscall.Timespec
	const monotonic = 1
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func answer(writer http.ResponseWriter, request *http.Request) {
	io.Copy(io.Discard, request.Body)
	plan := request.URL.Query()
	delayMs, _ := strconv.Atoi(plan.Get("delay_ms"))
	bytes, _ := strconv.Atoi(plan.Get("bytes"))
	time.Sleep(time.Duration(delayMs) * time.Millisecond)
	writer.Header().Set("content-length", strconv.Itoa(bytes))
	writer.Header().Set("x-noted", strconv.FormatInt(monotonicNs(), 10))
	writer.Write(make([]byte, bytes))
}

func main() {
	for _, tickets := range []int{0, 1} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		fmt.Println(tickets, listener.Addr().(*net.TCPAddr).Port)
		server := &http.Server{
			Handler:   http.HandlerFunc(answer),
			TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: tickets == 0},
		}
		go server.ServeTLS(listener, os.Args[1], os.Args[2])
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}
