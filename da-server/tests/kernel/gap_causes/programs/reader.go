// Reads responses with net/http, after it has read nothing for a while.
//
//	reader HOST PATH STOP_MS REQUESTS
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	stop, err := strconv.Atoi(os.Args[3])
	check(err)
	requests, err := strconv.Atoi(os.Args[4])
	check(err)
	for made := 0; made < requests; made++ {
		response, err := http.Get("http://" + os.Args[1] + os.Args[2])
		check(err)
		time.Sleep(time.Duration(stop) * time.Millisecond)
		_, err = io.Copy(io.Discard, response.Body)
		check(err)
		check(response.Body.Close())
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
