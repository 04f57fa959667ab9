// An engine that a test kills: it runs an endless execution.
import { createEngine } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { endlessExecution, executions } from './endless-execution.ts'

const [file = '', up = ''] = process.argv.slice(2)
const endless = endlessExecution('1h')
const engine = await createEngine({ jobs: [endless], storage: sqliteStorage(file), policy: executions.policy })
const mia = engine.as({ id: 'mia', role: 'Member', tenant: 'acme' })
await mia.submit(endless, { up }, { pipeline: 'flights' })
