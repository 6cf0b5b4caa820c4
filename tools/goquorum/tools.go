//go:build tools

// Package goquorum pins the node program of GoQuorum 22.7.4; go.sum names every module's checksum.
package goquorum

import _ "github.com/ethereum/go-ethereum/cmd/geth"
