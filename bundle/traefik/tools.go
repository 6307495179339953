//go:build tools

// Package traefik pins the ingress controller in a module of its own: its dependencies and Kubernetes' do not agree on
// the versions of OpenTelemetry's logs and of Docker's client.
package traefik

import _ "github.com/traefik/traefik/v3/cmd/traefik"
