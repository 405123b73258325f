// Generates types/*.d.ts from the specs beside this folder. Where openapi-typescript would say `string` for the
// bytes of a file, it is a Blob here, so that uploads are typed.

import { mkdir, writeFile } from 'node:fs/promises'
import openapiTS, { astToString } from 'openapi-typescript'
import ts from 'typescript'

const blob = ts.factory.createTypeReferenceNode('Blob')

await mkdir(new URL('types/', import.meta.url), { recursive: true })
for (const name of ['openapi', 'frames']) {
  const spec = new URL(`../${name}.yaml`, import.meta.url)
  const ast = await openapiTS(spec, {
    transform: (schema) => (schema.format === 'binary' ? blob : undefined),
  })
  await writeFile(new URL(`types/${name}.d.ts`, import.meta.url), astToString(ast))
}
