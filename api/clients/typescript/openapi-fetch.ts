// A client of Tim on openapi-fetch and the types that openapi-typescript makes of api/openapi.yaml.
//
//     node dist/openapi-fetch.js SERVER TOMORROW
//
// SERVER is a Tim server, TOMORROW one that knows more than the spec: see ../tomorrow.mjs.

import assert from 'node:assert/strict'
import createClient from 'openapi-fetch'
import type { components, paths } from './generated/openapi.js'

type SendRequest = components['schemas']['SendRequest']
type Target = components['schemas']['Target']

function connect(server: string) {
  const api = createClient<paths>({ baseUrl: server })
  return {
    api,
    async logIn(account: string, password: string) {
      const { data, error } = await api.POST('/Tim/UserLogin', { body: { account, password } })
      if (!data) return error
      const [user, token] = data.data
      assert(token?.token !== undefined && token.expires !== undefined && token.expires > Date.now())
      api.use({
        onRequest({ request }) {
          request.headers.set('token', token.token!)
          return request
        },
      })
      return user
    },
  }
}

async function talk(server: string): Promise<void> {
  const [alice, bob] = ['openapi-fetch.alice', 'openapi-fetch.bob'] as const
  const { api, logIn } = connect(server)
  for (const account of [alice, bob]) {
    const { data } = await api.POST('/Tim/UserRegister', { body: { account, password: '123456', username: account, age: 20, sex: 'female' } })
    assert.equal(data?.data.account, account)
  }
  const { error } = await api.POST('/Tim/UserLogin', { body: { account: alice, password: 'wrong!' } })
  assert.equal(error?.reason, 'wrong_credentials')
  const user = await logIn(alice, '123456')
  assert(user && 'account' in user && user.account === alice)

  assert((await api.GET('/Tim/addFriend', { params: { query: { UserAccount: alice, FriendAccount: bob } } })).data)
  const friends = await api.GET('/Tim/getFriends', { params: { query: { account: alice } } })
  assert.deepEqual(friends.data?.map((friend) => friend.account), [bob])
  const made = await api.POST('/Tim/createGroup', { params: { query: { CreateUserAccount: alice, GroupName: 'fetch climbers' } } })
  const group = made.data!.data.GroupID
  assert((await api.POST('/Tim/addMember', { params: { query: { UserAccount: alice, GroupID: group, MemberAccount: bob } } })).data)

  const hello: SendRequest = { to: { user: bob }, clientId: '1', body: { kind: 'text', text: 'hello' } }
  // @ts-expect-error a target of neither a user nor a group
  const nobody: Target = {}
  // @ts-expect-error a text without its text
  const silent: SendRequest = { to: { user: bob }, clientId: '2', body: { kind: 'text' } }
  for (const wrong of [{ ...hello, to: nobody }, silent, { ...hello, to: { user: bob, group } }]) {
    const refused = await api.POST('/Tim/sendMessage', { body: wrong as SendRequest })
    assert.equal(refused.error?.reason, 'invalid_body')
  }
  for (let retry = 0; retry < 2; retry++) {
    const sent = await api.POST('/Tim/sendMessage', { body: hello })
    assert.equal(sent.data?.data.seq, 1)
  }
  const place: SendRequest = { to: { group }, clientId: '1', body: { kind: 'location', latitude: 31.2304, longitude: 121.4737, title: 'Shanghai' } }
  assert((await api.POST('/Tim/sendMessage', { body: place })).data)

  const direct = await api.GET('/Tim/getHistory', { params: { query: { account: alice, FriendAccount: bob } } })
  assert.deepEqual(direct.data?.data.messages.map(({ body }) => [body.kind, body.text]), [['text', 'hello']])
  const inGroup = await api.GET('/Tim/getHistory', { params: { query: { account: alice, GroupID: group } } })
  assert.deepEqual(inGroup.data?.data.messages.map(({ body }) => body.kind), ['notice', 'location'])
  const conversations = await api.GET('/Tim/getConversations', { params: { query: { account: alice } } })
  assert.equal(conversations.data?.data.conversations.length, 2)
  const renewed = await api.POST('/Tim/renewToken')
  assert(renewed.data && renewed.data.data.expires > Date.now())
  assert((await api.GET('/Tim/UserLogout')).data)
}

async function meetTomorrow(server: string): Promise<void> {
  const { api, logIn } = connect(server)
  const refused = await logIn('alice', '123456')
  assert(refused && 'reason' in refused && refused.reason === 'not_yet_invented')
  const { data } = await api.GET('/Tim/getHistory', { params: { query: { account: 'alice', FriendAccount: 'bob' } } })
  const [hologram, notice, hello] = data!.data.messages
  assert.equal(hologram?.body.kind, 'hologram')
  assert.equal(notice?.body.event, 'renamed')
  assert.equal(hello?.body.text, 'hello')
}

await talk(process.argv[2]!)
await meetTomorrow(process.argv[3]!)
console.log(JSON.stringify({ 'openapi-fetch': 'ok' }))
