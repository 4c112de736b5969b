// Looks a host up, connects, asks for a path, and reads all there is if it was told one; prints how long it took until it
// was connected, ns.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	host, port, path := os.Args[1], os.Args[2], os.Args[3:]
	began := time.Now()
	connection, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		panic(err)
	}
	took := time.Since(began)
	target := "/"
	if len(path) > 0 {
		target = path[0]
	}
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nhost: %s\r\n\r\n", target, host)
	if len(path) > 0 {
		io.Copy(io.Discard, connection)
	} else {
		connection.Read(make([]byte, 4096))
	}
	fmt.Println(took.Nanoseconds())
}
