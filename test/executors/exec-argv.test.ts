import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { inheritedOptions } from '../../src/executors/exec-argv.ts'

test.each([
  [['--no-warnings', '--max-old-space-size=64', '-r', './setup.cjs', '--import', './hooks.mjs', '-C', 'development']],
  [['--conditions=development', '--experimental-strip-types', '--stack-trace-limit=5', '--testing-ground']],
])('options of the process that hold for its modules are passed on: %j', (options) => {
  expect(inheritedOptions(options)).toEqual(options)
})

test.each([
  [['-e', 'start()']],
  [['--input-type=module', '--eval', 'start()']],
  [['--input-type', 'module', '-pe', 'start()']],
  [['-p', '-e', 'start()', '-i']],
  [['--eval=start()']],
  [['--test', '--test-reporter', 'spec', '--test-only']],
  [['--watch', '--watch-path', './src']],
  [['--inspect-brk', '--inspect=9229', '--inspect-port', '9230']],
  [['-c']],
])('options of its own program and its own debugger are not: %j', (options) => {
  expect(inheritedOptions(options)).toEqual([])
  expect(inheritedOptions(['--no-warnings', ...options, '--import', './hooks.mjs'])).toEqual([
    '--no-warnings',
    '--import',
    './hooks.mjs',
  ])
})

// If the child ran this program again, it would start a child, and so on; so it ends instead.
const PROGRAM = `
if (process.env.JOBCHART_JOB !== undefined) process.exit(9)
const { createEngine, defineJob, memoryStorage } = await import('jobchart')
const { childProcess } = await import('jobchart/executors')
const type = defineJob({ type: 'made', executor: 'modules', execute: () => 0 })
const module = 'data:text/javascript,export default () => "made"'
const executors = { modules: childProcess({ module }) }
const engine = await createEngine({ jobs: [type], storage: memoryStorage(), executors })
const ada = engine.as({ id: 'ada', role: 'editor' })
const { outcome, output } = await ada.result((await ada.submit(type)).id)
console.log(outcome, output)
await engine.stop()
`

test('a module runs in a process of its own also when the engine is the code of node -e', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', PROGRAM], { encoding: 'utf8' })
  expect([stdout, stderr]).toEqual(['success made\n', ''])
})
