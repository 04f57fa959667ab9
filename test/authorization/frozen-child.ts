// A program in which nobody can change what all objects share: whoever tried would throw.
for (const each of [Object, Array, Function, String, Number, Boolean, Error, Promise, Map, Set, RegExp, Date]) {
  Object.freeze(each.prototype)
}
const { createEngine, defineJob, JobchartError, memoryStorage } = await import('../../src/index.ts')
const { sqliteStorage } = await import('../../src/sqlite/index.ts')

// The values are JSON, as a request brings them.
const [file = '', ...texts] = process.argv.slice(2)
const codes: string[] = []

async function codeOf(call: Promise<unknown>): Promise<void> {
  const code = await call.then(
    () => 'ok',
    (error: unknown) => (error instanceof JobchartError ? error.code : String(error)),
  )
  codes.push(code)
}

for (const storage of [memoryStorage(), sqliteStorage(file)]) {
  const quick = defineJob({ type: 'quick', execute: ({ input }) => input })
  await using engine = await createEngine({ jobs: [quick], storage })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  const { id } = await ada.submit(quick, { text: 'x' }, { labels: { team: 'a' } })
  await ada.result(id)
  for (const text of texts) {
    const value: unknown = JSON.parse(text)
    await codeOf(ada.submit(quick, value))
    await codeOf(ada.submit(quick, 1, { labels: value as { readonly [name: string]: string } }))
    await codeOf(ada.list({ labels: value as { readonly [name: string]: string } }))
    await codeOf(ada.list(value as object))
    await codeOf(ada.cancel(id, value as { readonly reason?: string }))
    await codeOf(ada.send(id as string, { type: 'cancel', ...(value as object) }))
    await codeOf(ada.pipelines.define({ id: 'p', job: quick, input: value }))
  }
  await ada.list({ labels: { team: 'a' } })
  await ada.history(id)
  await ada.explain(id)
  await ada.events({ after: 0 }).next()
}
console.log(JSON.stringify({ codes, isPolluted: 'polluted' in {} }))
