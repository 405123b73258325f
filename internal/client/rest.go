package client

import (
	"context"
	"fmt"
	"net/http"

	"tim/gen/api"
	rest "tim/gen/client"
)

// REST calls the routes of one server as one account: the generated client, and in front of it what the tools ask most. Every
// answer but success is a *Refusal. Its methods may be called from any goroutine.
type REST struct {
	*rest.ClientWithResponses
}

// NewREST returns a client of the server at http://host:port, with a token or "".
func NewREST(server, token string, via *http.Client) (*REST, error) {
	c, err := rest.NewClientWithResponses(server, rest.WithHTTPClient(via),
		rest.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			if token != "" {
				r.Header.Set("token", token)
			}
			return nil
		}))
	return &REST{c}, err
}

// done makes an answer that isn't a success an error. outcome is asked only when there is an answer.
func done(err error, outcome func() (status int, parsed bool, body []byte)) error {
	if err != nil {
		return err
	}
	if status, parsed, body := outcome(); status != http.StatusOK || !parsed {
		return &Refusal{status, string(body)}
	}
	return nil
}

// Register makes an account.
func (c *REST) Register(ctx context.Context, account, password, name string) error {
	answer, err := c.UserRegisterWithResponse(ctx, rest.Registration{Account: account, Password: password, Username: name})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return fmt.Errorf("register %s: %w", account, err)
	}
	return nil
}

// LogIn begins a session and returns its token.
func (c *REST) LogIn(ctx context.Context, account, password string) (token string, err error) {
	answer, err := c.UserLoginWithResponse(ctx, rest.Credentials{Account: account, Password: password})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return "", fmt.Errorf("log in %s: %w", account, err)
	}
	if data := answer.JSON200.Data; len(data) == 2 && data[1].Token != nil {
		return *data[1].Token, nil
	}
	return "", fmt.Errorf("log in %s: no token in %s", account, answer.Body)
}

// LogOut ends the session.
func (c *REST) LogOut(ctx context.Context) error {
	answer, err := c.UserLogoutWithResponse(ctx)
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// Befriend makes the account and another friends.
func (c *REST) Befriend(ctx context.Context, account, friend string) error {
	answer, err := c.AddFriendWithResponse(ctx, &rest.AddFriendParams{UserAccount: account, FriendAccount: friend})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return fmt.Errorf("make %s and %s friends: %w", account, friend, err)
	}
	return nil
}

// CreateGroup makes a group that the account owns, and returns its number.
func (c *REST) CreateGroup(ctx context.Context, account, name string) (int32, error) {
	answer, err := c.CreateGroupWithResponse(ctx, &rest.CreateGroupParams{CreateUserAccount: account, GroupName: name})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return 0, fmt.Errorf("make the group %s: %w", name, err)
	}
	return answer.JSON200.Data.GroupID, nil
}

// JoinGroup makes the account a member.
func (c *REST) JoinGroup(ctx context.Context, account string, group int32) error {
	answer, err := c.JoinGroupWithResponse(ctx, &rest.JoinGroupParams{UserAccount: account, GroupID: group})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return fmt.Errorf("%s joins group %d: %w", account, group, err)
	}
	return nil
}

// LeaveGroup ends the account's membership.
func (c *REST) LeaveGroup(ctx context.Context, account string, group int32) error {
	answer, err := c.LeaveGroupWithResponse(ctx, &rest.LeaveGroupParams{UserAccount: account, GroupID: group})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return fmt.Errorf("%s leaves group %d: %w", account, group, err)
	}
	return nil
}

// AddMember makes a friend of the owner a member.
func (c *REST) AddMember(ctx context.Context, owner string, group int32, member string) error {
	answer, err := c.AddMemberWithResponse(ctx, &rest.AddMemberParams{UserAccount: owner, GroupID: group, MemberAccount: member})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return fmt.Errorf("%s adds %s to group %d: %w", owner, member, group, err)
	}
	return nil
}

// RemoveMember ends a member's membership, as the owner may.
func (c *REST) RemoveMember(ctx context.Context, owner string, group int32, member string) error {
	answer, err := c.RemoveMemberWithResponse(ctx, &rest.RemoveMemberParams{UserAccount: owner, GroupID: group, MemberAccount: member})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return fmt.Errorf("%s removes %s from group %d: %w", owner, member, group, err)
	}
	return nil
}

// SendText sends a message and returns its seq.
func (c *REST) SendText(ctx context.Context, to api.Target, clientID, text string) (seq int64, err error) {
	request := rest.SendRequest{ClientID: clientID, To: rest.Target{User: to.User, Group: to.Group}}
	if err := request.Body.FromTextBody(rest.TextBody{Kind: rest.TextBodyKindText, Text: text}); err != nil {
		return 0, err
	}
	answer, err := c.SendMessageWithResponse(ctx, request)
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	return answer.JSON200.Data.Seq, nil
}

// HistoryMessage is a message as a page of history has it.
type HistoryMessage struct {
	Seq    int64
	Sender string
	Text   string // "" of a message that isn't a text
}

// History returns the messages of a conversation after a seq, at most limit.
func (c *REST) History(ctx context.Context, account string, of api.Target, after int64, limit int32) ([]HistoryMessage, error) {
	answer, err := c.GetHistoryWithResponse(ctx, &rest.GetHistoryParams{
		Account: account, FriendAccount: of.User, GroupID: of.Group, After: &after, Limit: &limit,
	})
	if err := done(err, func() (int, bool, []byte) { return answer.StatusCode(), answer.JSON200 != nil, answer.Body }); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	page := make([]HistoryMessage, len(answer.JSON200.Data.Messages))
	for i, m := range answer.JSON200.Data.Messages {
		page[i] = HistoryMessage{Seq: m.Seq, Sender: m.Sender}
		if m.Body.Kind == string(rest.TextBodyKindText) && m.Body.Text != nil {
			page[i].Text = *m.Body.Text
		}
	}
	return page, nil
}
