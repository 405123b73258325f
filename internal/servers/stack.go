package servers

import "strings"

// Stack is what several nodes share: a database on a server or on several, a Redis or a Redis Cluster, and a MinIO.
type Stack struct {
	Database []*Server // one, or the members of Galera
	Galera   *Galera   // nil for another kind
	Redis    []*Server // one, or the masters of a Redis Cluster
	MinIO    S3
}

// StackOptions of a stack.
type StackOptions struct {
	Database      string // the kind, as [Home.Database] takes it
	GaleraMembers int    // 0 for that kind
	RedisCluster  bool   // of three masters
}

// StartStack starts a stack. What it has started before an error ends with the home.
func (h *Home) StartStack(o StackOptions) (*Stack, error) {
	s := &Stack{}
	var err error
	if o.GaleraMembers > 0 {
		if s.Galera, err = h.Galera(o.GaleraMembers); err == nil {
			s.Database = s.Galera.Members
		}
	} else {
		var one *Server
		one, err = h.Database(o.Database)
		s.Database = []*Server{one}
	}
	if err != nil {
		return nil, err
	}
	if o.RedisCluster {
		s.Redis, err = h.RedisCluster()
	} else {
		var one *Server
		one, err = h.Redis()
		s.Redis = []*Server{one}
	}
	if err != nil {
		return nil, err
	}
	s.MinIO, err = h.MinIO()
	return s, err
}

// RedisURL is the nodes' setting for the Redis.
func (s *Stack) RedisURL() string {
	urls := make([]string, len(s.Redis))
	for i, one := range s.Redis {
		urls[i] = one.Address
	}
	return strings.Join(urls, ",")
}

// Env returns the settings of a node that uses the stack, for NodeOptions. dsn and redisURL are the stack's own, or those
// of a proxy before it.
func (s *Stack) Env(dsn, redisURL string) []string {
	return []string{
		"TIM_JWT_KEY=the key of servers that are thrown away", "TIM_MYSQL_DSN=" + dsn, "TIM_REDIS_URL=" + redisURL,
		"TIM_S3_ENDPOINT=http://" + s.MinIO.Endpoint, "TIM_S3_ACCESS_KEY=" + s.MinIO.AccessKey,
		"TIM_S3_SECRET_KEY=" + s.MinIO.SecretKey, "TIM_S3_BUCKET=" + s.MinIO.Bucket,
	}
}
