package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// connect makes the client for urls. It sends nothing.
func connect(urls string, opts Options) (redis.UniversalClient, error) {
	if strings.ContainsAny(opts.Prefix, "{}") {
		return nil, fmt.Errorf("prefix %q: braces would tear lanes apart", opts.Prefix)
	}
	if isSentinel(urls) {
		return connectSentinel(urls, opts)
	}
	var all []*redis.Options
	for url := range strings.SplitSeq(urls, ",") {
		o, err := redis.ParseURL(strings.TrimSpace(url))
		if err != nil {
			// The parser's error may quote the URL, and with it a password.
			return nil, fmt.Errorf("redis url %d of %q is malformed", len(all)+1, opts.Prefix)
		}
		all = append(all, o)
	}
	first := all[0]
	first.DialTimeout = cmp.Or(first.DialTimeout, opts.Timeout)
	first.ReadTimeout = cmp.Or(first.ReadTimeout, opts.Timeout)
	first.WriteTimeout = cmp.Or(first.WriteTimeout, opts.Timeout)
	if len(all) > 1 {
		return connectCluster(all)
	}
	first.ContextTimeoutEnabled = true
	first.MaxRetries = -1   // a retry could publish a message twice
	first.DialerRetries = 1 // link and sender try again by themselves
	first.MaintNotificationsConfig = noMaintNotifications()
	return redis.NewClient(first), nil
}

func connectCluster(all []*redis.Options) (redis.UniversalClient, error) {
	first := all[0]
	addresses := make([]string, len(all))
	for i, o := range all {
		if o.DB != 0 {
			return nil, fmt.Errorf("redis url %d: a cluster has no database %d", i+1, o.DB)
		}
		if (o.TLSConfig == nil) != (first.TLSConfig == nil) {
			return nil, errors.New("redis urls: some with TLS, some without")
		}
		if first.TLSConfig != nil && o.TLSConfig.ServerName != first.TLSConfig.ServerName {
			first.TLSConfig.ServerName = "" // each node's certificate has its own name
		}
		addresses[i] = o.Addr
	}
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addresses, Username: first.Username, Password: first.Password, TLSConfig: first.TLSConfig,
		DialTimeout: first.DialTimeout, ReadTimeout: first.ReadTimeout, WriteTimeout: first.WriteTimeout,
		PoolSize: first.PoolSize, Protocol: first.Protocol,
		ContextTimeoutEnabled: true, DialerRetries: 1, DisableRoutingPolicies: true,
		MaintNotificationsConfig: noMaintNotifications(),
	}), nil
}

func noMaintNotifications() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func (r *Redis) ping(ctx context.Context) error {
	if c, ok := r.client.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
			return master.Ping(ctx).Err()
		})
	}
	return r.client.Ping(ctx).Err()
}

// checkServer returns an error if this Redis can't be used. A Redis that can't be reached is no error.
func (r *Redis) checkServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	err := r.ping(ctx)
	if err == nil {
		// Nodes ignore an empty message.
		lane := r.lanes[0]
		if r.sharded {
			err = r.client.SPublish(ctx, lane.name, "").Err()
		} else {
			err = r.client.Publish(ctx, lane.name, "").Err()
		}
	}
	if err == nil && !r.sharded {
		var info string
		if info, err = r.client.Info(ctx, "cluster").Result(); strings.Contains(info, "cluster_enabled:1") {
			return errors.New("redis: this is a node of a Redis Cluster: name at least two of its nodes")
		}
	}
	if refused(err) {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// refused reports whether Redis has answered with a refusal, as opposed to no answer or "later".
func refused(err error) bool {
	var answer redis.Error
	return redis.IsAuthError(err) || redis.IsPermissionError(err) ||
		errors.As(err, &answer) && strings.HasPrefix(answer.Error(), "ERR ") && !redis.IsMaxClientsError(err)
}
