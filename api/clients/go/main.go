// A client of Tim on gen/client, which oapi-codegen makes of api/openapi.yaml.
//
//	go run ./api/clients/go SERVER TOMORROW
//
// SERVER is a Tim server, TOMORROW one that knows more than the spec: see ../tomorrow.mjs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"tim/gen/client"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if len(os.Args) != 3 {
		fail(errors.New("want two addresses: SERVER TOMORROW"))
	}
	err := errors.Join(talk(ctx, os.Args[1]), meetTomorrow(ctx, os.Args[2]))
	if err == nil {
		_, err = fmt.Fprintln(os.Stdout, `{"go":"ok"}`)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// account is one account's view of a server.
type account struct {
	*client.ClientWithResponses
	name, token string
}

func connect(server, name string) (*account, error) {
	a := &account{name: name}
	var err error
	a.ClientWithResponses, err = client.NewClientWithResponses(server, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if a.token != "" {
			r.Header.Set("token", a.token)
		}
		return nil
	}))
	return a, err
}

// refused is what an answer says when it is no success.
func refused(status int, body []byte) error {
	var f client.Failure
	if err := json.Unmarshal(body, &f); err != nil {
		return fmt.Errorf("%d: %w: %s", status, err, body)
	}
	return fmt.Errorf("%d: %s", status, f.Reason)
}

func (a *account) logIn(ctx context.Context, password string) error {
	in, err := a.UserLoginWithResponse(ctx, client.Credentials{Account: a.name, Password: password})
	if err != nil {
		return err
	}
	if in.JSON200 == nil {
		return refused(in.StatusCode(), in.Body)
	}
	user, token := in.JSON200.Data[0], in.JSON200.Data[1]
	if user.Account == nil || *user.Account != a.name || token.Token == nil || time.UnixMilli(*token.Expires).Before(time.Now()) {
		return fmt.Errorf("the login answers %s", in.Body)
	}
	a.token = *token.Token
	return nil
}

func talk(ctx context.Context, server string) error {
	alice, err := connect(server, "go.alice")
	if err != nil {
		return err
	}
	const bob = "go.bob"
	if err := errors.Join(alice.register(ctx, alice.name), alice.register(ctx, bob)); err != nil {
		return err
	}
	if err := alice.logIn(ctx, "wrong!"); err == nil || err.Error() != "401: wrong_credentials" {
		return fmt.Errorf("a wrong password: %w", err)
	}
	if err := alice.logIn(ctx, "123456"); err != nil {
		return err
	}
	if err := alice.befriend(ctx, bob); err != nil {
		return err
	}
	return alice.converse(ctx, bob)
}

func (a *account) register(ctx context.Context, name string) error {
	made, err := a.UserRegisterWithResponse(ctx, client.Registration{Account: name, Password: "123456", Username: name})
	if err != nil {
		return err
	}
	if made.JSON200 == nil {
		return refused(made.StatusCode(), made.Body)
	}
	return nil
}

func (a *account) befriend(ctx context.Context, friend string) error {
	made, err := a.AddFriendWithResponse(ctx, &client.AddFriendParams{UserAccount: a.name, FriendAccount: friend})
	if err != nil {
		return err
	}
	if made.JSON200 == nil {
		return refused(made.StatusCode(), made.Body)
	}
	return nil
}

// converse sends to a friend and reads it back.
func (a *account) converse(ctx context.Context, friend string) error {
	for range 2 { // the second is a retry
		if err := a.send(ctx, client.Target{User: &friend}, "hello"); err != nil {
			return err
		}
	}
	for _, wrong := range []client.Target{{}, {User: &friend, Group: new(int32(1))}} {
		if err := a.send(ctx, wrong, "hello"); err == nil || err.Error() != "422: invalid_body" {
			return fmt.Errorf("a target of neither or both: %w", err)
		}
	}
	messages, err := a.history(ctx, friend)
	if err != nil {
		return err
	}
	if len(messages) != 1 || messages[0].Body.Kind != "text" || *messages[0].Body.Text != "hello" {
		return fmt.Errorf("the history is %+v", messages)
	}
	return nil
}

func (a *account) send(ctx context.Context, to client.Target, words string) error {
	request := client.SendRequest{To: to, ClientID: "1"}
	if err := request.Body.FromTextBody(client.TextBody{Kind: client.TextBodyKindText, Text: words}); err != nil {
		return err
	}
	sent, err := a.SendMessageWithResponse(ctx, request)
	if err != nil {
		return err
	}
	if sent.JSON200 == nil {
		return refused(sent.StatusCode(), sent.Body)
	}
	if sent.JSON200.Data.Seq != 1 {
		return fmt.Errorf("sent as %d", sent.JSON200.Data.Seq)
	}
	return nil
}

func (a *account) history(ctx context.Context, friend string) ([]client.Message, error) {
	page, err := a.GetHistoryWithResponse(ctx, &client.GetHistoryParams{Account: a.name, FriendAccount: &friend})
	if err != nil {
		return nil, err
	}
	if page.JSON200 == nil {
		return nil, refused(page.StatusCode(), page.Body)
	}
	return page.JSON200.Data.Messages, nil
}

func meetTomorrow(ctx context.Context, server string) error {
	alice, err := connect(server, "alice")
	if err != nil {
		return err
	}
	if err := alice.logIn(ctx, "123456"); err == nil || err.Error() != "401: not_yet_invented" {
		return fmt.Errorf("an unknown reason: %w", err)
	}
	messages, err := alice.history(ctx, "bob")
	if err != nil {
		return err
	}
	if len(messages) != 3 || messages[0].Body.Kind != "hologram" || *messages[1].Body.Event != "renamed" || *messages[2].Body.Text != "hello" {
		return fmt.Errorf("the history is %+v", messages)
	}
	return nil
}
