"""A client of Tim, on the package that openapi-generator makes of api/openapi.yaml.

    python client.py SERVER TOMORROW

SERVER is a Tim server, TOMORROW one that knows more than the spec: see ../tomorrow.mjs.
"""

import json
import sys
import time

import openapi_client as tim
from openapi_client import models


def expect(good: bool, what: object) -> None:
    if not good:
        raise AssertionError(what)


class Client:
    """One account's view of a server."""

    def __init__(self, server: str) -> None:
        api = tim.ApiClient(tim.Configuration(host=server))
        self.api = api
        self.accounts, self.friends, self.groups = tim.AccountsApi(api), tim.FriendsApi(api), tim.GroupsApi(api)
        self.messages, self.sessions = tim.MessagesApi(api), tim.SessionsApi(api)

    def log_in(self, account: str, password: str) -> models.LoginPart:
        user, token = self.accounts.user_login(models.Credentials(account=account, password=password)).data
        expect(token.token is not None and token.expires > time.time() * 1000, token)
        self.api.default_headers["token"] = token.token
        return user


def text(to: models.Target, client_id: str, words: str) -> models.SendRequest:
    body = models.TextBody(kind="text", text=words)
    return models.SendRequest(to=to, clientId=client_id, body=models.SendBody(body))


def reason_of(e: tim.ApiException) -> str:
    return models.Failure.from_json(e.body).reason


def talk(server: str) -> None:
    alice, bob = "python.alice", "python.bob"
    c = Client(server)
    for account, sex in ((alice, "female"), (bob, None)):
        made = c.accounts.user_register(models.Registration(account=account, password="123456", username=account.title(), age=20, sex=sex))
        expect(made.data.account == account, made)
    try:
        c.accounts.user_login(models.Credentials(account=alice, password="wrong!"))
        expect(False, "logged in with a wrong password")
    except tim.ApiException as e:
        expect(e.status == 401 and reason_of(e) == "wrong_credentials", e)
    user = c.log_in(alice, "123456")
    expect(user.account == alice and user.sex == "female", user)

    c.friends.add_friend(alice, bob)
    expect([f.account for f in c.friends.get_friends(alice)] == [bob], "the friends")
    group = c.groups.create_group(alice, "python climbers").data.group_id
    expect([g.group_id for g in c.groups.get_groups(alice).data] == [group], "the groups")
    c.groups.add_member(alice, group, bob)
    expect(len(c.groups.get_group_members(alice, group).data) == 2, "the members")

    to_bob = models.Target(models.UserTarget(user=bob))
    sent = c.messages.send_message(text(to_bob, "1", "hello")).data
    again = c.messages.send_message(text(to_bob, "1", "hello")).data
    expect(sent.seq == again.seq == 1 and sent.conversation.user == bob, (sent, again))
    place = models.SendBody(models.LocationBody(kind="location", latitude=31.2304, longitude=121.4737, title="Shanghai"))
    to_group = models.Target(models.GroupTarget(group=group))
    c.messages.send_message(models.SendRequest(to=to_group, clientId="1", body=place))
    try:
        models.Target({})
        expect(False, "a target of nobody")
    except ValueError:
        pass

    page = c.messages.get_history(alice, friend_account=bob).data
    expect([(m.body.kind, m.body.text) for m in page.messages] == [("text", "hello")], page)
    page = c.messages.get_history(alice, group_id=group).data
    expect([m.body.kind for m in page.messages] == ["notice", "location"] and page.messages[1].body.title == "Shanghai", page)
    expect(len(c.messages.get_conversations(alice).data.conversations) == 2, "the conversations")
    expect(c.messages.mark_read(alice, 1, friend_account=bob).data.read == 1, "the mark")

    expect(c.accounts.get_profile(bob).data.sex is None, "the profile")
    expect(c.accounts.update_profile(models.ProfileChanges(age=21)).data.age == 21, "the change")
    expect([u.account for u in c.accounts.find_users("python.b").data] == [bob], "the search")
    expect(len(c.sessions.get_sessions(alice).data) == 1, "the sessions")
    expect(c.sessions.renew_token().data.expires > time.time() * 1000, "the fresh token")
    c.sessions.user_logout()


def meet_tomorrow(server: str) -> None:
    c = Client(server)
    try:
        c.log_in("alice", "123456")
        expect(False, "logged in")
    except tim.ApiException as e:
        expect(reason_of(e) == "not_yet_invented", e)
    hologram, notice, hello = c.messages.get_history("alice", friend_account="bob").data.messages
    expect(hologram.body.kind == "hologram" and hologram.seq == 1, hologram)
    expect(notice.body.event == "renamed", notice)
    expect(hello.body.kind == "text" and hello.body.text == "hello", hello)


if __name__ == "__main__":
    talk(sys.argv[1])
    meet_tomorrow(sys.argv[2])
    print(json.dumps({"python": "ok"}))
