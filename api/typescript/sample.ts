// Tim's API from TypeScript: every path, parameter, answer and frame below is checked against the specs.
// `make verify` generates types/ and compiles this file.

import createClient, { type Middleware } from 'openapi-fetch'
import type { components as frames } from './types/frames.js'
import type { components, paths } from './types/openapi.js'

type Frame = frames['schemas']
type User = components['schemas']['User']
type Reason = components['schemas']['Reason']

const server = 'http://localhost:8081'
const api = createClient<paths>({ baseUrl: server })

/** What the server refuses: `reason` is for programs, `message` for people. */
class Refused extends Error {
  constructor(
    readonly reason: Reason | undefined,
    message: string,
  ) {
    super(message)
  }
}

function refused(error: { reason?: Reason; message: string } | undefined): Refused {
  return new Refused(error?.reason, error?.message ?? 'no answer')
}

export async function register(account: string, password: string): Promise<void> {
  const { error } = await api.POST('/Tim/UserRegister', {
    body: { account, password, username: account, age: 20, sex: 'female' },
  })
  if (error && error.reason !== 'account_taken') throw refused(error)
}

/** Logs in; every request from then on carries the token. */
export async function login(account: string, password: string): Promise<string> {
  const { data, error } = await api.POST('/Tim/UserLogin', { body: { account, password } })
  if (!data) throw refused(error)
  const token = data.data[1]?.token // the user is the first element
  if (token === undefined) throw refused(undefined)
  const authenticate: Middleware = {
    onRequest({ request }) {
      request.headers.set('token', token)
      return request
    },
  }
  api.use(authenticate)
  return token
}

export async function befriend(account: string, friend: string): Promise<User[]> {
  const query = { UserAccount: account, FriendAccount: friend }
  const { error: adding } = await api.GET('/Tim/addFriend', { params: { query } })
  if (adding) throw refused(adding)
  const { data, error } = await api.GET('/Tim/getFriends', { params: { query: { account } } })
  if (!data) throw refused(error)
  return data
}

/** Uploads a picture and returns its stored name; the file routes answer text, with the reason in a header. */
export async function uploadPicture(file: Blob): Promise<string> {
  const { data, error, response } = await api.POST('/uploadchatpic', {
    body: { file },
    bodySerializer(body) {
      const form = new FormData()
      form.set('file', body.file)
      return form
    },
    parseAs: 'text',
  })
  if (data !== undefined) return data
  throw typeof error === 'string'
    ? new Refused((response.headers.get('Tim-Reason') as Reason | null) ?? undefined, error)
    : refused(error)
}

/** A browser's WebSocket can't set headers, so the token goes into the list of subprotocols. */
function open(path: string, token: string, onFrame: (text: string) => void): WebSocket {
  const socket = new WebSocket(server.replace(/^http/, 'ws') + path, ['tim.v1', `token.${token}`])
  socket.addEventListener('message', ({ data }: MessageEvent<string>) => onFrame(data))
  return socket
}

export interface ChatEvents {
  connected(): void
  online(accounts: string[]): void
  text(from: string, text: string): void
}

/** The chat socket: while it is open, the account is online. */
export function openChat(account: string, token: string, events: ChatEvents): WebSocket {
  return open(`/websocket/${encodeURIComponent(account)}`, token, (text) => {
    const frame = JSON.parse(text) as Frame['Connected'] | Frame['OnlineUsers'] | Frame['DirectTextDelivery']
    if (Array.isArray(frame)) {
      const [from, body] = frame
      if (from && 'from' in from && body && 'text' in body) events.text(from.from, body.text)
    } else if ('users' in frame) {
      events.online(frame.users.map((user) => user.username))
    } else {
      events.connected()
    }
  })
}

/** Sends a text to whoever is online; it is not kept for others. */
export function sendText(chat: WebSocket, frame: Frame['DirectText']): void {
  chat.send(JSON.stringify(frame))
}

/** A one-to-one conversation: what it sends is kept until the friend gets it. */
export function openConversation(
  account: string,
  friend: string,
  token: string,
  onMessage: (message: Frame['ChatMessage']) => void,
  onNotice: (notice: Frame['PeerNotOnline'] | Frame['DirectEnded']) => void,
): { send(message: Frame['OutgoingText']): void; close(): void } {
  const path = `/websocket/OneToOne/${encodeURIComponent(account)}/${encodeURIComponent(friend)}`
  const socket = open(path, token, (text) => {
    // Messages are JSON objects; everything else is a bare text.
    if (text.startsWith('{')) onMessage(JSON.parse(text) as Frame['ChatMessage'])
    else onNotice(text)
  })
  return { send: (message) => socket.send(message), close: () => socket.close(1000) }
}

export async function main(): Promise<void> {
  await register('alice', '123456')
  await register('bob', '123456')
  const token = await login('alice', '123456')
  for (const friend of await befriend('alice', 'bob')) {
    console.log(friend.username, friend.onlineStatus === 1 ? 'online' : 'offline')
  }
  const chat = openChat('alice', token, {
    connected: () => sendText(chat, { to: 'all', text: 'good morning' }),
    online: (accounts) => {
      console.log('online:', accounts)
      const bob = openConversation('alice', 'bob', token, console.log, console.log)
      void uploadPicture(new Blob(['…'])).then(
        (name) => bob.send(name),
        (error: unknown) => console.log(error instanceof Refused ? error.reason : error),
      )
    },
    text: (from, text) => console.log(`${from}: ${text}`),
  })
}
