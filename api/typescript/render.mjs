// Renders an AsyncAPI document with AsyncAPI's own React component, as documentation sites do, and fails when it reports an
// error or leaves out an operation or a message. Usage: node render.mjs file

import { Parser, fromFile } from '@asyncapi/parser'
import AsyncApi from '@asyncapi/react-component'
import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'

const [file] = process.argv.slice(2)
const faults = []
console.error = (...parts) => faults.push(parts.map(String).join(' '))

const { document } = await fromFile(new Parser(), file).parse()
if (document === undefined) {
  throw new Error(`${file}: the parser refuses it`)
}
const html = renderToStaticMarkup(createElement(AsyncApi.default ?? AsyncApi, { schema: document, config: { show: { errors: true } } }))
const text = html.replace(/<[^>]*>/g, ' ').replaceAll('&#x27;', "'").replaceAll('&quot;', '"').replaceAll('&amp;', '&')
for (const operation of document.allOperations().all()) {
  if (!text.includes(operation.summary())) {
    faults.push(`operation ${operation.id()} is not shown`)
  }
}
for (const message of document.allMessages().all()) {
  if (!text.includes(message.name())) {
    faults.push(`message ${message.name()} is not shown`)
  }
}
if (/Error in your schema|aui-root-error|Validation Errors/.test(html)) {
  faults.push('the component reports errors')
}
for (const fault of faults) {
  process.stderr.write(`${file}: ${fault}\n`)
}
if (faults.length > 0) {
  process.exit(1)
}
console.log(`${file}: rendered, ${html.length} characters`)
