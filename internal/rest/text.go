package rest

import (
	"context"

	"tim/gen/api"
	"tim/internal/fault"
)

// done is the envelope of a success without data.
func done(ctx context.Context, phrase fault.Phrase) api.Done {
	return api.Done{Code: fault.CodeSuccess, Message: say(ctx, phrase)}
}

// say returns a phrase in the language of the request that ctx belongs to.
func say(ctx context.Context, phrase fault.Phrase) string { return phrase.In(requestOf(ctx).language) }
