package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"vestnik/internal/certs"
	"vestnik/internal/frame"
	"vestnik/internal/simulate"
)

func (s *secured) pool(name string) *x509.CertPool {
	s.t.Helper()
	pool, err := certs.Pool(s.file(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return pool
}

// askTLS sends a message by TLS and reads the answer.
func askTLS(addr string, c *tls.Config, body string) (simulate.Result, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, c)
	if err != nil {
		return simulate.Result{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	message, err := frame.Append(nil, frame.BigEndian, "URAL", []byte(body))
	if err != nil {
		return simulate.Result{}, err
	}
	if _, err := conn.Write(message); err != nil {
		return simulate.Result{}, err
	}
	_, answer, err := frame.Read(conn, frame.BigEndian, frame.MaxBody)
	if err != nil {
		return simulate.Result{}, fmt.Errorf("read the answer: %w", err)
	}
	return simulate.ReadResult(answer)
}
