// Parses an AsyncAPI document with the official parser, references into other files included, and fails on
// anything it calls an error or a warning. Usage: node asyncapi.mjs file

import { DiagnosticSeverity, Parser, fromFile } from '@asyncapi/parser'

const names = { [DiagnosticSeverity.Error]: 'error', [DiagnosticSeverity.Warning]: 'warning' }

const [file] = process.argv.slice(2)
const { document, diagnostics } = await fromFile(new Parser(), file).parse()
const faults = diagnostics.filter((d) => d.severity in names)
for (const d of faults) {
  const { line, character } = d.range.start
  console.error(`${d.source ?? file}:${line + 1}:${character + 1} ${names[d.severity]} ${d.code}: ${d.message}`)
}
if (faults.length > 0 || document === undefined) {
  process.exit(1)
}
console.log(`${file}: ${document.allOperations().all().length} operations, ${document.allMessages().all().length} messages`)
