// Looks a host up, connects, asks; prints how long it took until it was connected, ns.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	host, port := os.Args[1], os.Args[2]
	began := time.Now()
	connection, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		panic(err)
	}
	took := time.Since(began)
	fmt.Fprintf(connection, "GET / HTTP/1.1\r\nhost: %s\r\n\r\n", host)
	answer := make([]byte, 4096)
	count, err := connection.Read(answer)
	if err != nil || !bytes.HasPrefix(answer[:count], []byte("HTTP/1.1 200")) {
		panic(fmt.Sprint(err, string(answer[:count])))
	}
	fmt.Println(took.Nanoseconds())
}
