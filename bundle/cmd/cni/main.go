// Command cni gives a node of a small cluster its pod network.
//
// It writes the node's CNI configuration (ptp, host-local and portmap on the node's own pod range), keeps one route
// to the pod range of every other node, and masquerades what leaves the pod network. All of it is set again whenever a
// node changes and at every start, so it survives a restart of the node's container. NetworkPolicy is not enforced.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	confDir  = "/etc/cni/net.d"
	confFile = "10-drystone.conflist"
	// routeProtocol marks our routes in the kernel, so that stale ones are told from everybody else's.
	routeProtocol = netlink.RouteProtocol(0xd5)
	masqChain     = "DRYSTONE-MASQ"
	resync        = 30 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("NODE_NAME"), os.Getenv("POD_SUBNET"), os.Getenv("CONTROL_PLANE_ENDPOINT")); err != nil {
		slog.Error("the pod network of this node cannot be kept", "node", os.Getenv("NODE_NAME"), "error", err)
		os.Exit(1)
	}
}

// run watches the cluster's nodes and keeps this node's configuration until ctx ends.
// endpoint, where set, is host:port of the API server, so that nothing waits for kube-proxy.
func run(ctx context.Context, nodeName, podSubnet, endpoint string) error {
	if nodeName == "" {
		return errors.New("NODE_NAME is empty: set it from spec.nodeName")
	}
	_, pods, err := net.ParseCIDR(podSubnet)
	if err != nil {
		return fmt.Errorf("POD_SUBNET is not a CIDR: %w", err)
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("reading the pod's service account: %w", err)
	}
	if endpoint != "" {
		config.Host = "https://" + endpoint
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	notify := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    notify,
		UpdateFunc: func(before, after any) { notify(after) },
		DeleteFunc: notify,
	}); err != nil {
		return fmt.Errorf("watching nodes: %w", err)
	}
	factory.Start(ctx.Done())
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ticker.C:
		}
		known := map[string]*corev1.Node{}
		for _, object := range nodes.Informer().GetStore().List() {
			if node, ok := object.(*corev1.Node); ok {
				known[node.Name] = node
			}
		}
		if err := reconcile(known, nodeName, pods); err != nil {
			slog.Warn("will try again", "in", resync, "error", err)
		}
	}
}

func reconcile(nodes map[string]*corev1.Node, self string, pods *net.IPNet) error {
	own, ok := nodes[self]
	if !ok || own.Spec.PodCIDR == "" {
		return nil // The controller manager has not given this node its range yet; its update wakes us.
	}
	if err := masquerade(pods); err != nil {
		return fmt.Errorf("masquerading what leaves %s: %w", pods, err)
	}
	if err := routes(peers(nodes, self)); err != nil {
		return err
	}
	return writeConf(own.Spec.PodCIDR)
}

// peers maps the pod range of every other node to that node's address.
func peers(nodes map[string]*corev1.Node, self string) map[string]net.IP {
	found := map[string]net.IP{}
	for name, node := range nodes {
		if name == self || node.Spec.PodCIDR == "" {
			continue
		}
		for _, address := range node.Status.Addresses {
			if ip := net.ParseIP(address.Address); address.Type == corev1.NodeInternalIP && ip != nil {
				found[node.Spec.PodCIDR] = ip
				break
			}
		}
	}
	return found
}

func routes(wanted map[string]net.IP) error {
	for cidr, gateway := range wanted {
		_, destination, err := net.ParseCIDR(cidr)
		if err != nil {
			return fmt.Errorf("pod range %q: %w", cidr, err)
		}
		route := netlink.Route{Dst: destination, Gw: gateway, Protocol: routeProtocol}
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("routing %s by %s: %w", cidr, gateway, err)
		}
	}
	ours, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	for _, route := range ours {
		if route.Dst == nil {
			continue
		}
		if _, still := wanted[route.Dst.String()]; !still {
			if err := netlink.RouteDel(&route); err != nil {
				return fmt.Errorf("removing the route to %s: %w", route.Dst, err)
			}
		}
	}
	return nil
}

// masquerade gives packets from pods to anywhere outside the pod network the node's address.
func masquerade(pods *net.IPNet) error {
	tables, err := iptables.New(iptables.IPFamily(iptables.ProtocolIPv4), iptables.Timeout(5))
	if err != nil {
		return err
	}
	exists, err := tables.ChainExists("nat", masqChain)
	if err != nil {
		return err
	}
	if !exists {
		if err := tables.NewChain("nat", masqChain); err != nil {
			return err
		}
	}
	for _, rule := range [][]string{
		{"-d", pods.String(), "-j", "RETURN"},
		{"-m", "addrtype", "--dst-type", "LOCAL", "-j", "RETURN"},
		{"-j", "MASQUERADE"},
	} {
		if err := tables.AppendUnique("nat", masqChain, rule...); err != nil {
			return err
		}
	}
	return tables.AppendUnique("nat", "POSTROUTING", "-s", pods.String(), "-j", masqChain)
}

// writeConf replaces the CNI configuration in one step: the kubelet calls the node ready as soon as the file is there.
func writeConf(podCIDR string) error {
	conf, err := json.MarshalIndent(map[string]any{
		"cniVersion": "0.4.0",
		"name":       "drystone",
		"plugins": []any{
			map[string]any{
				"type": "ptp",
				"ipam": map[string]any{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []any{map[string]string{"dst": "0.0.0.0/0"}},
					"ranges":  []any{[]any{map[string]string{"subnet": podCIDR}}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(confDir, confFile)
	if current, err := os.ReadFile(path); err == nil && string(current) == string(conf) {
		return nil
	}
	// A dot file is not read as configuration.
	partial := filepath.Join(confDir, "."+confFile)
	if err := os.WriteFile(partial, conf, 0o644); err != nil {
		return fmt.Errorf("writing the CNI configuration: %w", err)
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("placing the CNI configuration: %w", err)
	}
	slog.Info("pod network configured", "range", podCIDR)
	return nil
}
