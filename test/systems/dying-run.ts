// An engine that a test kills while it runs a pipeline, or while that run stops.
import { createEngine } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { types, workspaces } from './pipeline-types.ts'

const [file = '', how = ''] = process.argv.slice(2)
const { run } = types()
const engine = await createEngine({ jobs: [run], policy: workspaces.policy, storage: sqliteStorage(file) })
const mia = engine.as({ id: 'mia', role: 'Member', tenant: 'acme' })
await mia.pipelines.define(workspaces.pipeline({ id: 'flights', job: run, input: { maxRetries: 1 } }))
const { id } = await mia.pipelines.run('flights')
for await (const event of mia.events({ job: id, after: 0 })) {
  if ('to' in event && event.to === 'RUNNING') break
}
if (how === 'stops') await mia.cancel(id)
process.send?.(id)
