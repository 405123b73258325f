package cluster

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogClient brings into log what the Redis client says of its connections, which it would write to standard error. It
// concerns the whole process; called once, before any node is made.
func LogClient(log *slog.Logger) { redis.SetLogger(clientLog{log}) }

type clientLog struct{ log *slog.Logger }

// Printf is called by the client.
func (l clientLog) Printf(ctx context.Context, format string, values ...any) {
	l.log.DebugContext(ctx, "redis client", "says", fmt.Sprintf(format, values...))
}
