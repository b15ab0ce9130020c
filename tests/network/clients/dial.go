// Go's net.Dialer.
//
//	go run dial.go jobs.json
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"
)

type job struct {
	Host, CA       string
	Port, Patience int
}

type result struct {
	Start   float64 `json:"start"`
	Ms      float64 `json:"ms"`
	Address string  `json:"address,omitempty"`
	Error   string  `json:"error,omitempty"`
	Hung    bool    `json:"hung,omitempty"`
}

func dial(j job) (net.Conn, error) {
	dialer := net.Dialer{Timeout: time.Duration(j.Patience) * time.Millisecond}
	address := fmt.Sprintf("%s:%d", j.Host, j.Port)
	if j.CA == "" {
		return dialer.Dial("tcp", address)
	}
	pem, err := os.ReadFile(j.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return tls.DialWithDialer(&dialer, "tcp", address, &tls.Config{RootCAs: roots})
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var jobs []job
	if err := json.Unmarshal(text, &jobs); err != nil {
		panic(err)
	}
	for _, j := range jobs {
		start := time.Now()
		connection, err := dial(j)
		took := time.Since(start)
		r := result{
			Start: float64(start.UnixNano()) / 1e6,
			Ms:    float64(took.Nanoseconds()) / 1e6,
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			r.Hung = true
		} else if err != nil {
			r.Error = err.Error()
		} else {
			r.Address = connection.RemoteAddr().(*net.TCPAddr).IP.String()
			connection.Close()
		}
		line, _ := json.Marshal(r)
		fmt.Println(string(line))
		time.Sleep(20 * time.Millisecond)
	}
}
