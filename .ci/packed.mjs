// Tests the package as users get it: packs it, installs the tarball in an empty folder, runs and compiles a consumer
// there.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const OLDEST_NODE = '22.18.0'
const STEP_TIMEOUT_MS = 300_000

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json')
const modules = subpaths.map((subpath) => subpath.replace(/^\./, manifest.name))

const FIRST_JOB = `import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'

const greet = defineJob({
  type: 'greet',
  input: z.object({ name: z.string() }),
  output: z.string(),
  async execute({ input }) {
    return \`hello \${input.name}\`
  },
})
const engine = await createEngine({ jobs: [greet], storage: sqliteStorage('jobs.db') })
const ada = engine.as({ id: 'ada', role: 'editor' })
const job = await ada.submit(greet, { name: 'world' })
const { outcome, output } = await ada.result(job.id)
console.log(outcome, output)
await engine.stop()
`

const TESTING = `import { storageConformance, virtualClock } from 'jobchart/testing'

const exported = [typeof storageConformance, typeof virtualClock]
if (exported.some((kind) => kind !== 'function')) throw new Error(\`expected two functions, found \${exported}\`)
console.log('testing', ...exported)
`

const PRESETS = `import { createEngine, memoryStorage } from 'jobchart'
import { memberJobs } from 'jobchart/presets'
import { z } from 'zod'

const members = memberJobs({ editor: ['Manager'] })
const load = members.defineJob({
  type: 'Load',
  input: z.object({ file: z.string() }),
  message: ({ file }) => \`Load \${file}\`,
  async execute({ input, percent }) {
    percent(50)
    return input.file.length
  },
})
const engine = await createEngine({ jobs: [load], policy: members.policy, storage: memoryStorage() })
const ed = engine.as({ id: 'ed', role: 'Manager' })
const ended = await ed.result((await ed.submit(load, { file: 'roads' })).id)
const length: number | undefined = ended.output
const { status, message, progress } = members.present(ended)
console.log(status, message, progress, length)
await engine.stop()
`

// Two engines in this process, and another process that starts and ends, like under a server that reloads its code.
const TWO_ENGINES = `import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'

const file = 'two engines.db'
const work = defineJob({ type: 'work', input: z.string(), output: z.string(), execute: ({ input }) => input })
const engines = []
for (const isWorking of [true, false]) {
  engines.push(await createEngine({ jobs: [work], storage: sqliteStorage(file), work: isWorking }))
}
const come = (sql) => {
  const program = \`const { DatabaseSync } = require('node:sqlite')
    const db = new DatabaseSync(process.argv[1])
    db.prepare(process.argv[2]).get()
    db.close()\`
  execFileSync(process.execPath, ['-e', program, file, sql], { stdio: 'ignore' })
}
come('SELECT count(*) FROM jobs')
let isAlone = true
try {
  come('PRAGMA journal_mode = DELETE')
} catch {
  isAlone = false
}
console.log('log kept', existsSync(\`\${file}-wal\`), 'taken for closed', isAlone)
for (const engine of engines) await engine.stop()
`

// Text with a NUL character, in every place where a user may write it.
const ODD_TEXT = `import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { z } from 'zod'

const odd = 'a\\0b'
const work = defineJob({
  type: 'work',
  input: z.string(),
  output: z.string(),
  async execute({ input, log, item, step }) {
    log(input)
    await item(input, { status: 'completed', message: input })
    return await step(input, () => input)
  },
})
const open = () => createEngine({ jobs: [work], storage: sqliteStorage('odd text.db') })
const options = { labels: { [odd]: odd }, pipeline: odd, idempotencyKey: odd }
const before = await open()
const { id } = await before.as({ id: odd, tenant: odd, role: 'editor' }).submit(work, odd, options)
await before.system.result(id)
await before.stop()
const after = await open()
const { input, output, pipeline, createdBy, labels } = await after.system.get(id)
const texts = [input, output, pipeline, createdBy, labels[odd]]
for await (const { text } of after.system.logs(id)) texts.push(text)
for await (const { key, message } of after.system.items(id)) texts.push(key, message)
const again = await after.as({ id: odd, tenant: odd, role: 'editor' }).submit(work, odd, options)
const others = await after.as({ id: 'a', tenant: 'a', role: 'admin' }).count()
console.log(texts.length, texts.every((text) => text === odd), again.id === id, others)
await after.stop()
`

const CONFORMANCE = `import { mkdtempSync, rmSync } from 'node:fs'
import { sqliteStorage } from 'jobchart/sqlite'
import { storageConformance } from 'jobchart/testing'

const checks = []
const make = () => {
  const folder = mkdtempSync('checked-')
  return { storage: sqliteStorage(\`\${folder}/jobs.db\`), dispose: () => rmSync(folder, { recursive: true }) }
}
storageConformance(make, { test: (name, run) => checks.push({ name, run }) })
if (checks.length < 100) throw new Error(\`expected more than \${checks.length} checks\`)
for (const { name, run } of checks) await run().catch((error) => console.log(name, error))
console.log('checked')
`

// Programs, and one module in a process and in a thread: the runners are files of the package.
const ELSEWHERE = `import { createEngine, defineJob, memoryStorage } from 'jobchart'
import { childProcess, workerThreads } from 'jobchart/executors'
import { z } from 'zod'

const module = new URL('./elsewhere-code.mjs', import.meta.url)
const inPlace = (executor) =>
  defineJob({ type: executor, executor, input: z.number(), output: z.number(), execute: () => Number.NaN })
const jobs = [inPlace('processes of code'), inPlace('threads')]
const echo = defineJob({ type: 'echo', run: { command: 'echo', args: ['said'] } })
const executors = { 'processes of code': childProcess({ module }), threads: workerThreads({ module }) }
const engine = await createEngine({ jobs: [...jobs, echo], storage: memoryStorage(), executors })
const ada = engine.as({ id: 'ada', role: 'editor' })
for (const job of jobs) {
  const { id } = await ada.submit(job, 20)
  for await (const { text } of ada.logs(id, { follow: true })) console.log(text)
  console.log((await ada.result(id)).output)
}
const { id } = await ada.submit(echo)
for await (const { text, stream } of ada.logs(id, { follow: true })) console.log(stream, text)
await engine.stop()
`

const ELSEWHERE_CODE = `export default async ({ input, log, step }) => {
  log('elsewhere')
  return (await step('one', () => input)) + 1
}
`

const TWO_ENGINES_SAY = 'log kept true taken for closed false\n'

const REQUIRE = `for (const name of ${JSON.stringify(modules)}) {
  if (Object.keys(require(name)).length === 0 && name !== 'jobchart/port') throw new Error(\`\${name} exports nothing\`)
}
console.log('required')
`

// The port has types only.
const IMPORTS = `for (const name of ${JSON.stringify(modules)}) {
  const names = Object.keys(await import(name))
  if (names.length === 0 && name !== 'jobchart/port') throw new Error(\`\${name} exports nothing\`)
  console.log(\`\${name}: \${names.sort().join(', ')}\`)
}
`

const RESOLUTIONS = [
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'preserve', moduleResolution: 'bundler' },
]

let failures = 0

/** Prints one checked fact and its detail, indented. A failed one makes the script exit with 1. */
function report(ok, what, detail = '') {
  if (!ok) failures += 1
  console.log(`${ok ? 'ok  ' : 'FAIL'}  ${what}`)
  if (detail.trim()) console.log(detail.trim().replace(/^/gm, '        '))
}

/** Runs `file` under `node` in `cwd`, without stdin. */
function run(node, file, args, cwd) {
  const { status, signal, stdout, stderr, error } = spawnSync(node, [file, ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: STEP_TIMEOUT_MS,
  })
  const end = error?.message ?? (signal ? `killed by ${signal}` : `exit ${status}`)
  return { ok: status === 0, stdout: stdout ?? '', all: `${stdout ?? ''}${stderr ?? ''}`, stderr: stderr ?? '', end }
}

function npm(args, cwd) {
  if (!process.env.npm_execpath) throw new Error('start this through npm: `npm run test:packed`')
  const result = run(process.execPath, process.env.npm_execpath, [...args, '--no-audit', '--no-fund'], cwd)
  if (!result.ok) throw new Error(`npm ${args.join(' ')} (${result.end})\n${result.all}`)
  return result
}

const inModules = (folder, path) => join(folder, 'node_modules', ...path.split('/'))
const pin = (name) => `${name}@${manifest.dependencies[name] ?? manifest.devDependencies[name]}`

function emptyProject(parent, name, fields = {}) {
  const folder = join(parent, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', ...fields }))
  return folder
}

function pack(folder) {
  npm(['pack', '--pack-destination', folder], root)
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  if (!tarball) throw new Error(`npm pack left no tarball in ${folder}`)
  report(true, `npm pack: ${tarball}`)
  return join(folder, tarball)
}

function installConsumer(folder, tarball) {
  const consumer = emptyProject(folder, 'consumer')
  npm(['install', tarball, ...['xstate', 'zod', 'typescript', '@types/node'].map(pin)], consumer)
  for (const [file, source] of Object.entries({
    'first-job.ts': FIRST_JOB,
    'testing.ts': TESTING,
    'presets.ts': PRESETS,
    'imports.mjs': IMPORTS,
    'require.cjs': REQUIRE,
    'elsewhere.mjs': ELSEWHERE,
    'elsewhere-code.mjs': ELSEWHERE_CODE,
    'two-engines.mjs': TWO_ENGINES,
    'odd-text.mjs': ODD_TEXT,
    'conformance.mjs': CONFORMANCE,
  }))
    writeFileSync(join(consumer, file), source)
  report(true, 'installed in an empty folder', readdirSync(inModules(consumer, manifest.name)).join(', '))
  for (const file of manifest.files)
    if (!existsSync(inModules(consumer, `${manifest.name}/${file}`))) report(false, `${file} is missing in the tarball`)
  return consumer
}

function installOldestNode(folder) {
  // Newer versions of npm block install scripts that a project does not name, and still exit 0.
  const project = emptyProject(folder, 'oldest-node', { allowScripts: { node: true } })
  npm(['install', `node@${OLDEST_NODE}`], project)
  return inModules(project, 'node/bin/node')
}

/** A program passes if it ends by itself with exactly this output; `undefined`: with any output. */
function checkProgram(node, version, consumer, file, cwd, expected, when = '') {
  const result = run(node, join(consumer, file), [], cwd)
  const ok = result.ok && (expected === undefined || result.stdout === expected)
  const detail = ok
    ? `${result.stdout}${result.stderr}`
    : `${result.end}, expected ${expected ?? 'exit 0'}\n${result.all}`
  report(ok, `Node ${version}: ${file}${when}`, detail)
}

function checkRuntime(node, consumer) {
  const version = run(node, '-p', ['process.versions.node'], consumer).stdout.trim()
  const cwd = join(consumer, `node-${version}`)
  mkdirSync(cwd)
  checkProgram(node, version, consumer, 'imports.mjs', cwd)
  checkProgram(node, version, consumer, 'require.cjs', cwd, 'required\n')
  checkProgram(node, version, consumer, 'testing.ts', cwd, 'testing function function\n')
  checkProgram(node, version, consumer, 'presets.ts', cwd, 'Successful Load roads 100 5\n')
  checkProgram(node, version, consumer, 'first-job.ts', cwd, 'success hello world\n')
  checkProgram(node, version, consumer, 'first-job.ts', cwd, 'success hello world\n', ', again on the same database')
  checkProgram(node, version, consumer, 'elsewhere.mjs', cwd, 'elsewhere\n21\nelsewhere\n21\nstdout said\n')
  checkProgram(node, version, consumer, 'two-engines.mjs', cwd, TWO_ENGINES_SAY)
  checkProgram(node, version, consumer, 'odd-text.mjs', cwd, '8 true true 0\n')
  checkProgram(node, version, consumer, 'conformance.mjs', cwd, 'checked\n')
  return version
}

function compile(consumer, resolution, skipLibCheck) {
  const compilerOptions = {
    ...resolution,
    target: 'es2024',
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck,
  }
  const config = join(consumer, `tsconfig.${resolution.moduleResolution}.${skipLibCheck}.json`)
  writeFileSync(config, JSON.stringify({ compilerOptions, files: ['first-job.ts', 'testing.ts', 'presets.ts'] }))
  return run(process.execPath, inModules(consumer, 'typescript/bin/tsc'), ['-p', config, '--pretty', 'false'], consumer)
}

function checkTypes(consumer) {
  for (const resolution of RESOLUTIONS) {
    const usual = compile(consumer, resolution, true)
    report(usual.ok, `tsc strict, ${resolution.moduleResolution}`, usual.ok ? '' : usual.all)
    const full = compile(consumer, resolution, false)
    const errors = full.all.split('\n').filter((line) => line.includes('error TS'))
    // Errors in declarations of other packages are shown, but only errors in ours fail.
    const ours = errors.filter(
      (line) => !line.startsWith('node_modules/') || line.startsWith(`node_modules/${manifest.name}/`),
    )
    report(
      ours.length === 0 && (full.ok || errors.length > 0),
      `tsc strict, ${resolution.moduleResolution}, skipLibCheck: false`,
      full.all,
    )
  }
}

function checkPackage(tarball) {
  const publint = run(process.execPath, inModules(root, 'publint/src/cli.js'), ['run', tarball, '--strict'], root)
  report(publint.ok, 'publint --strict', publint.all)
  const attwArgs = [tarball, '--profile', 'esm-only', '--format', 'ascii', '--no-summary', '--no-emoji', '--no-color']
  const attw = run(process.execPath, inModules(root, '@arethetypeswrong/cli/dist/index.js'), attwArgs, root)
  report(attw.ok, 'attw --profile esm-only', attw.all)
}

const folder = mkdtempSync(join(tmpdir(), 'jobchart-packed-'))
try {
  const tarball = pack(folder)
  const consumer = installConsumer(folder, tarball)
  const oldest = checkRuntime(installOldestNode(folder), consumer)
  report(oldest === OLDEST_NODE, `the oldest supported Node was used: ${oldest}`)
  checkRuntime(process.execPath, consumer)
  checkTypes(consumer)
  checkPackage(tarball)
} catch (error) {
  report(false, 'stopped early', error instanceof Error ? error.message : String(error))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(failures === 0 ? '\nThe packed package works.' : `\n${failures} failed.`)
process.exitCode = failures === 0 ? 0 : 1
