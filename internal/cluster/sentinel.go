package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The schemes of a Redis that Sentinels watch, without and with TLS.
const (
	sentinelScheme    = "redis+sentinel"
	sentinelTLSScheme = "rediss+sentinel"
	sentinelPort      = "26379"
)

// SentinelForm is what a URL of a Redis with Sentinels is like.
const SentinelForm = "redis+sentinel://user:password@host:26379,host:26379/master"

// CheckURLs returns an error if NewRedis couldn't use the URLs. No error contains a password.
func CheckURLs(urls string) error {
	client, err := connect(urls, Options{}.withDefaults())
	if err != nil {
		return err
	}
	return client.Close()
}

func isSentinel(urls string) bool {
	scheme, _, _ := strings.Cut(strings.TrimSpace(urls), "://")
	return scheme == sentinelScheme || scheme == sentinelTLSScheme
}

// parseSentinel reads a URL like SentinelForm. User and password are those of Redis. The query may have db, sentinel_username and
// sentinel_password. net/url takes no list of hosts, so the hosts are cut out first. No error quotes the URL, which has passwords.
func parseSentinel(text string) (*redis.FailoverOptions, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(text), "://")
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	u, err := url.Parse("redis://" + user + "host" + tail)
	if err != nil || u.Fragment != "" || strings.Contains(tail, "@") {
		return nil, errors.New("redis url is malformed; special characters in a password must be percent-encoded")
	}
	o := &redis.FailoverOptions{MasterName: strings.Trim(u.Path, "/"), Username: u.User.Username()}
	o.Password, _ = u.User.Password()
	if o.MasterName == "" || strings.Contains(o.MasterName, "/") {
		return nil, errors.New("redis url has no name of a master; it must be like " + SentinelForm)
	}
	if o.SentinelAddrs, err = sentinelAddresses(hosts); err != nil {
		return nil, err
	}
	if err := sentinelQuery(u.Query(), o); err != nil {
		return nil, err
	}
	if scheme == sentinelTLSScheme {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // the name is that of each server
	}
	return o, nil
}

func sentinelAddresses(hosts string) (addresses []string, err error) {
	for i, host := range strings.Split(hosts, ",") {
		host = strings.TrimSpace(host)
		address := host
		if _, _, err := net.SplitHostPort(host); err != nil {
			address = net.JoinHostPort(strings.Trim(host, "[]"), sentinelPort)
		}
		name, port, err := net.SplitHostPort(address)
		if n, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil || n == 0 || name == "" {
			return nil, fmt.Errorf("redis url: the address of Sentinel %d is not of the form host:port", i+1)
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

func sentinelQuery(query url.Values, o *redis.FailoverOptions) (err error) {
	for name, values := range query {
		value := values[0]
		switch name {
		case "db":
			if o.DB, err = strconv.Atoi(value); err != nil || o.DB < 0 {
				return errors.New("redis url: db must be a number")
			}
		case "sentinel_username":
			o.SentinelUsername = value
		case "sentinel_password":
			o.SentinelPassword = value
		default:
			return errors.New("redis url: only db, sentinel_username and sentinel_password may follow the name of the master")
		}
	}
	return nil
}

// connectSentinel makes a client that asks the Sentinels for the master, and again when they have made another one.
func connectSentinel(text string, opts Options) (redis.UniversalClient, error) {
	o, err := parseSentinel(text)
	if err != nil {
		return nil, err
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = opts.Timeout, opts.Timeout, opts.Timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1   // as for one Redis
	o.DialerRetries = 1 // likewise
	return redis.NewFailoverClient(o), nil
}
