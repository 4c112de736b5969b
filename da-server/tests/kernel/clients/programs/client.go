// Sends the requests of a job (see ../job.rs) with net/http.
//
//	client JOB
//
// Prints how many were answered with status 200.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

type job struct {
	URL         string            `json:"url"`
	Address     string            `json:"address"`
	Port        int               `json:"port"`
	TLS         *string           `json:"tls"`
	HTTP2       bool              `json:"http2"`
	CAFile      string            `json:"ca_file"`
	Connections int               `json:"connections"`
	Requests    int               `json:"requests"`
	AtOnce      int               `json:"at_once"`
	Headers     map[string]string `json:"headers"`
	Body        string            `json:"body"`
}

func main() {
	var todo job
	check(json.Unmarshal([]byte(os.Args[1]), &todo))
	transport := todo.transport()
	client := &http.Client{Transport: transport}
	var answered atomic.Int64
	for made := 0; made < todo.Connections; made++ {
		for sent := 0; sent < todo.Requests; sent++ {
			todo.post(client, &answered)
		}
		var atOnce sync.WaitGroup
		for sent := 0; sent < todo.AtOnce; sent++ {
			atOnce.Add(1)
			go func() {
				defer atOnce.Done()
				todo.post(client, &answered)
			}()
		}
		atOnce.Wait()
		transport.CloseIdleConnections()
	}
	fmt.Println(answered.Load())
}

// transport resumes TLS sessions, and leads every name to the job's address.
func (todo *job) transport() *http.Transport {
	to := net.JoinHostPort(todo.Address, strconv.Itoa(todo.Port))
	transport := &http.Transport{
		ForceAttemptHTTP2: todo.HTTP2,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, to)
		},
	}
	if todo.TLS != nil {
		pem, err := os.ReadFile(todo.CAFile)
		check(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		version := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[*todo.TLS]
		transport.TLSClientConfig = &tls.Config{
			RootCAs:            roots,
			MinVersion:         version,
			MaxVersion:         version,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		}
	}
	return transport
}

func (todo *job) post(client *http.Client, answered *atomic.Int64) {
	request, err := http.NewRequest(http.MethodPost, todo.URL, strings.NewReader(todo.Body))
	check(err)
	for name, value := range todo.Headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	check(err)
	_, err = io.Copy(io.Discard, response.Body)
	check(err)
	check(response.Body.Close())
	if response.StatusCode == http.StatusOK {
		answered.Add(1)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
