package httpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
)

// What the texts below are made of: never of what the other side has sent, nor of
// the request. Either may hold the query (SPEC 11).
var (
	errNotHTTP = errors.New("not HTTP")
	errEnded   = errors.New("connection ended by the other side")
	errTimeout = errors.New("timed out")
)

// stepError names the step and hides the rest.
func stepError(step string, err error) error { return fmt.Errorf("%s: %w", step, err) }

func (b *base) connectError(ctx context.Context, err error) error {
	step := "connecting to " + b.address
	if ctx.Err() != nil {
		return stepError(step, ctx.Err())
	}
	return stepError(step, connectReason(err))
}

func connectReason(err error) error {
	var (
		dns    *net.DNSError
		system *os.SyscallError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case timedOut(err):
		return errTimeout
	case errors.As(err, &dns):
		return errors.New(dns.Err) // no such host
	case errors.As(err, &system):
		return system.Err // connection refused
	case errors.As(err, &cert):
		return fmt.Errorf("bad certificate: %w", certReason(cert.Err))
	case errors.As(err, &record):
		return errors.New("the other side does not speak TLS")
	case errors.Is(err, io.EOF):
		return errEnded
	}
	return err
}

// certReason shortens the one text that lists a hundred names.
func certReason(err error) error {
	var host x509.HostnameError
	if errors.As(err, &host) {
		return fmt.Errorf("it is not for %s", host.Host)
	}
	return err
}

func sendError(err error) error {
	if timedOut(err) {
		return stepError("sending", errTimeout)
	}
	return stepError("sending", errEnded)
}

func answerError(err error) error {
	const step = "waiting for the answer"
	var remote *net.OpError
	switch {
	case timedOut(err):
		return stepError(step, errTimeout)
	case errors.Is(err, errTooLong), errors.Is(err, errNotHTTP):
		return stepError(step, err)
	case errors.As(err, &remote) && remote.Op == "remote error": // TLS 1.3 refuses a client that late
		return stepError(step, remote.Err)
	}
	return stepError(step, errEnded)
}

func timedOut(err error) bool {
	var t net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// Reason is why a request by net/http failed, without what the other side has sent
// and without the URL, as the errors of a Client are.
func Reason(err error) error {
	var (
		whole  *url.Error
		remote *net.OpError
	)
	if errors.As(err, &whole) {
		err = whole.Err
	}
	if errors.As(err, &remote) && remote.Op == "remote error" {
		return remote.Err
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if reason := connectReason(err); reason != err { //nolint:errorlint // whether it is the same, not of its kind
		return reason
	}
	return errors.New("connection ended, or the answer is not HTTP")
}
