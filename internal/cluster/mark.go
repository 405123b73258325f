package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// markLife is how long Redis keeps a mark that no node renews.
const markLife = time.Hour

// Mark returns the id that this Redis keeps for the installation, by which nodes tell whether they use the same one. If there is
// none, Redis keeps the given id from now on, unless it is empty. A node that runs calls Mark again and again, with the id that
// it was told: so the mark survives a Redis that loses its data. It takes [Options.Timeout] at most.
func (r *Redis) Mark(ctx context.Context, id string) (string, error) {
	if err := r.refuse(ctx); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	key := r.lanes[0].name + ":mark"
	pipe := r.client.Pipeline()
	if id != "" {
		pipe.SetNX(ctx, key, id, markLife)
		pipe.Expire(ctx, key, markLife)
	}
	mark := pipe.Get(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("mark: %w: %w", ErrAway, err)
	}
	return mark.Val(), nil
}
