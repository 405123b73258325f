// A client of Tim on the code that openapi-generator's typescript-fetch makes of api/openapi.yaml.
//
//     node dist/typescript-fetch.js SERVER TOMORROW
//
// SERVER is a Tim server, TOMORROW one that knows more than the spec: see ../tomorrow.mjs.

import assert from 'node:assert/strict'
import * as tim from './generated/typescript-fetch/index.js'

class Client {
  private token = ''
  readonly accounts: tim.AccountsApi
  readonly friends: tim.FriendsApi
  readonly groups: tim.GroupsApi
  readonly messages: tim.MessagesApi
  readonly sessions: tim.SessionsApi

  constructor(server: string) {
    const settings = new tim.Configuration({ basePath: server, apiKey: () => this.token })
    this.accounts = new tim.AccountsApi(settings)
    this.friends = new tim.FriendsApi(settings)
    this.groups = new tim.GroupsApi(settings)
    this.messages = new tim.MessagesApi(settings)
    this.sessions = new tim.SessionsApi(settings)
  }

  async logIn(account: string, password: string): Promise<tim.LoginPart> {
    const { data } = await this.accounts.userLogin({ credentials: { account, password } })
    const [user, token] = data
    assert(user && token?.token && token.expires && token.expires > Date.now())
    this.token = token.token
    return user
  }
}

/** The reason of the refusal that a call must end in. */
async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    if (error instanceof tim.ResponseError) return tim.FailureFromJSON(await error.response.json()).reason
    throw error
  }
  throw new Error('not refused')
}

async function talk(server: string): Promise<void> {
  const [alice, bob] = ['typescript-fetch.alice', 'typescript-fetch.bob'] as const
  const c = new Client(server)
  for (const account of [alice, bob]) {
    const { data } = await c.accounts.userRegister({ registration: { account, password: '123456', username: account, sex: 'male' } })
    assert.equal(data.account, account)
  }
  assert.equal(await refusal(c.logIn(alice, 'wrong!')), 'wrong_credentials')
  assert.equal((await c.logIn(alice, '123456')).account, alice)

  await c.friends.addFriend({ userAccount: alice, friendAccount: bob })
  const friends = await c.friends.getFriends({ account: alice })
  assert.deepEqual(friends.map((friend) => [friend.account, friend.onlineStatus]), [[bob, 0]])
  const group = (await c.groups.createGroup({ createUserAccount: alice, groupName: 'generated climbers' })).data.groupID
  await c.groups.addMember({ userAccount: alice, groupID: group, memberAccount: bob })

  for (let retry = 0; retry < 2; retry++) {
    const sent = await c.messages.sendMessage({ sendRequest: { to: { user: bob }, clientId: '1', body: { kind: 'text', text: 'hello' } } })
    assert.equal(sent.data.seq, 1)
    assert.equal(sent.data.conversation.user, bob)
  }
  const body: tim.SendBody = { kind: 'location', latitude: 31.2304, longitude: 121.4737, title: 'Shanghai' }
  await c.messages.sendMessage({ sendRequest: { to: { group }, clientId: '1', body } })
  // @ts-expect-error a target of neither a user nor a group
  const nobody: tim.Target = {}
  assert.equal(await refusal(c.messages.sendMessage({ sendRequest: { to: nobody, clientId: '2', body } })), 'invalid_body')

  const direct = await c.messages.getHistory({ account: alice, friendAccount: bob })
  assert.deepEqual(direct.data.messages.map((message) => [message.body.kind, message.body.text]), [['text', 'hello']])
  const inGroup = await c.messages.getHistory({ account: alice, groupID: group })
  assert.deepEqual(inGroup.data.messages.map((message) => message.body.kind), ['notice', 'location'])
  assert.equal((await c.messages.getConversations({ account: alice })).data.conversations.length, 2)
  assert.equal((await c.messages.markRead({ userAccount: alice, friendAccount: bob, seq: 1 })).data.read, 1)
  assert.equal((await c.accounts.getProfile({ account: bob })).data.sex, 'male')
  assert((await c.sessions.renewToken()).data.expires > Date.now())
  assert.equal((await c.sessions.getSessions({ account: alice })).data.length, 1)
  await c.sessions.userLogout()
}

async function meetTomorrow(server: string): Promise<void> {
  const c = new Client(server)
  assert.equal(await refusal(c.logIn('alice', '123456')), 'not_yet_invented')
  const { data } = await c.messages.getHistory({ account: 'alice', friendAccount: 'bob' })
  const [hologram, notice, hello] = data.messages
  assert.equal(hologram?.body.kind, 'hologram')
  assert.equal(notice?.body.event, 'renamed')
  assert.equal(hello?.body.text, 'hello')
}

await talk(process.argv[2]!)
await meetTomorrow(process.argv[3]!)
console.log(JSON.stringify({ 'typescript-fetch': 'ok' }))
