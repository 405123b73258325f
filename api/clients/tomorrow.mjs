// A server of a later version, as far as the clients here ask it: it answers with a reason, a kind of message, an event and
// fields that api/openapi.yaml doesn't know yet. It prints its address and serves until its standard input ends.

import { createServer } from 'node:http'

const message = (seq, body) => ({ conversation: { user: 'bob' }, seq, sender: 'bob', time: 1767225600000, body })

const answers = {
  'POST /Tim/UserLogin': [401, { code: 401, message: 'not today', reason: 'not_yet_invented', hint: 'try tomorrow' }],
  'GET /Tim/getHistory': [
    200,
    {
      code: 200,
      message: 'ok',
      took: 3,
      data: {
        first: 1,
        last: 3,
        pinned: [2],
        messages: [
          message(1, { kind: 'hologram', depth: 3, file: 'x' }),
          message(2, { kind: 'notice', event: 'renamed', actor: 'bob', name: 'climbers' }),
          { ...message(3, { kind: 'text', text: 'hello', mood: 'good' }), reactions: [{ emoji: '😀', by: ['alice'] }] },
        ],
      },
    },
  ],
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost')
  const [status, body] = answers[`${request.method} ${pathname}`] ?? [404, { code: 500, message: 'nothing there', reason: 'unknown_route' }]
  request.resume()
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' })
  response.end(JSON.stringify(body))
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
process.stdin.on('end', () => process.exit(0)).resume()
