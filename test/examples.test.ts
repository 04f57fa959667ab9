import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

// A program ends in an Output block, where `…` stands for text that differs in each run.
const programs = globSync('examples/**/*.ts').filter((file) => /^\/\/ Output:$/m.test(readFileSync(file, 'utf8')))
const args: { readonly [program: string]: readonly string[] } = { 'examples/elt/main.ts': ['--pace', '0'] }

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jobchart-example-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

test('every example program says what it prints', () => {
  expect(programs.sort()).toEqual([
    'examples/agents-and-pools/main.ts',
    'examples/approval-that-frees-the-slot.ts',
    'examples/cpu-work.ts',
    'examples/elt/main.ts',
    'examples/events-to-a-screen.ts',
    'examples/first-job.ts',
    'examples/human-approval.ts',
    'examples/member-jobs/main.ts',
    'examples/nightly.ts',
    'examples/notifications-by-mail/main.ts',
    'examples/pipeline-jobs/main.ts',
    'examples/resume-after-crash.ts',
    'examples/rights-and-roles.ts',
    'examples/run-a-command.ts',
    'examples/scrape/main.ts',
    'examples/task-executions/main.ts',
    'examples/write-your-own-executor/main.ts',
    'examples/write-your-own-policy/main.ts',
  ])
})

test.each(programs)('%s prints its Output block', (program) => {
  const { stdout, stderr, status } = spawnSync(process.execPath, [resolve(program), ...(args[program] ?? [])], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
  })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const expected = outputBlock(readFileSync(program, 'utf8'))
  const printed = stdout.trimEnd().split('\n')
  expect(printed).toHaveLength(expected.length)
  for (const [index, line] of expected.entries()) expect(printed[index]).toMatch(pattern(line))
})

test.each(programs)('%s says how to run it', (program) => {
  const command = program === 'examples/elt/main.ts' ? 'npm start' : `npm run example ${program}`
  expect(readFileSync(program, 'utf8')).toContain(` *     ${command}\n`)
})

test('a build is skipped while no source has changed', () => {
  const { stdout, status } = spawnSync(process.execPath, ['.ci/build.mjs'], { encoding: 'utf8', timeout: 60_000 })
  expect({ stdout, status }).toEqual({ stdout: '', status: 0 })
})

test.each(['policy', 'executor'])('the %s of the examples passes the suite that the package ships', (port) => {
  const args = ['--test', resolve(`examples/write-your-own-${port}/check.ts`)]
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 })
  expect(stdout).toMatch(/^# pass [1-9]\d*$|ℹ pass [1-9]\d*$/m)
  expect(status).toBe(0)
})

test('the first job of the README is the first example, in under 20 lines', () => {
  const source = readFileSync('examples/first-job.ts', 'utf8')
  const program = source.slice(source.indexOf('import'), source.indexOf('\nfor (const'))
  const readme = readFileSync('README.md', 'utf8')
  expect(readme).toContain(program.trim())
  const lines = program.split('\n').filter((line) => line.trim() !== '')
  expect(lines.length).toBeLessThan(20)
})

function outputBlock(source: string): readonly string[] {
  const block = source.slice(source.indexOf('// Output:\n') + '// Output:\n'.length).trimEnd()
  return block.split('\n').map((line) => line.replace(/^\/\/ ?/, ''))
}

function pattern(line: string): RegExp {
  const parts = line.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`)
}
