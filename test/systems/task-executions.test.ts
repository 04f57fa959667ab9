import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Executor, exitEnd, JobchartError, type TaskEnd, type Work } from 'jobchart'
import { childProcess } from 'jobchart/executors'
import { statusOf, taskExecutions } from 'jobchart/presets'
import { sqliteStorage } from 'jobchart/sqlite'
import { explore, virtualClock } from 'jobchart/testing'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { endlessExecution } from './endless-execution.ts'
import { answerOf, ENDLESS, executions, namedPipe, runs, shell, testFolder, workspace } from './workspace.ts'

const flights = { pipeline: 'flights' }

describe('the acceptance cases', () => {
  test.each([
    [null, null, null, 'UNKNOWN'],
    ['2026-01-01T00:00:00.000Z', null, null, 'RUNNING'],
    ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z', null, 'RUNNING'],
    ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z', 0, 'COMPLETE'],
    ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z', 1, 'ERROR'],
    ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z', -1, 'ERROR'],
    ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z', 143, 'ERROR'],
  ])('M1 the status of start %s, end %s and exit code %s is %s', (startTime, endTime, exitCode, status) => {
    expect(statusOf({ startTime, endTime, exitCode })).toBe(status)
  })

  test('M2 a job is UNKNOWN until its start is confirmed, and then RUNNING without an exit code', async () => {
    const { mia, entered } = await workspace()
    const created = executions.present(await mia.submit(shell, { script: ENDLESS }, flights))
    expect(created).toMatchObject({ status: 'UNKNOWN', startTime: null, endTime: null, exitCode: null })
    const running = await entered(created.id, 'RUNNING')
    expect(running).toMatchObject({ status: 'RUNNING', endTime: null, exitCode: null })
    expect(running.startTime).not.toBe(null)
  })

  test.each([
    ['exit 0', 'COMPLETE', 0],
    ['exit 2', 'ERROR', 2],
    ['kill -9 $$', 'ERROR', 137],
    ['/no/such/program', 'ERROR', 127],
  ])('M3 a process that does "%s" is %s with exit code %d', async (script, status, exitCode) => {
    const { mia } = await workspace()
    const { id } = await mia.submit(shell, { script }, flights)
    const { startTime, endTime, ...row } = executions.present(await mia.result(id))
    expect(row).toMatchObject({ status, exitCode })
    expect(startTime !== null && endTime !== null && startTime <= endTime).toBe(true)
  })

  test('M4 details are null unless they are asked for by exactly true', async () => {
    const { mia } = await workspace()
    const input = { script: 'echo "no table $1" >&2; exit 2', args: ['flights'] }
    const view = await mia.result((await mia.submit(shell, input, flights)).id)
    const none = { taskName: null, exitMessage: null, arguments: null, errorMessage: null }
    for (const said of [undefined, false, 'TRUE ', 'true', 1]) {
      expect(executions.present(view, { details: said as boolean })).toMatchObject(none)
    }
    expect(Object.keys(executions.present(view))).toEqual([
      ...['id', 'exitCode', 'startTime', 'endTime', 'status'],
      ...['taskName', 'exitMessage', 'arguments', 'errorMessage'],
    ])
    expect(executions.present(view, { details: true })).toMatchObject({
      taskName: 'shell',
      exitMessage: 'exited with code 2',
      arguments: ['-c', input.script, 'sh', 'flights'],
      errorMessage: 'no table flights',
    })
  })

  test('M6 an exception is ERROR, with exit code 1 or its own, and its trace is among the details', async () => {
    const throwing = (type: string, fields: object = {}) =>
      executions.defineJob({
        type,
        execute: () => {
          throw Object.assign(new RangeError('no table'), fields)
        },
      })
    const types = [throwing('plain'), throwing('mapped', { exitCode: 7 }), throwing('zero', { exitCode: 0 })]
    const program = executions.defineJob({
      type: 'program',
      run: { command: process.execPath, args: ['-e', 'throw new RangeError("no table")'] },
    })
    const { mia } = await workspace({ jobs: [...types, program] })
    const rows = [...types, program].map(async (type) => {
      const view = await mia.result<unknown>((await mia.submit(type)).id)
      expect(executions.present(view).errorMessage).toBe(null)
      return executions.present(view, { details: true })
    })
    for (const { status, errorMessage } of await Promise.all(rows)) {
      expect(status).toBe('ERROR')
      expect(errorMessage).toMatch(/RangeError: no table\n +at /)
    }
    expect((await Promise.all(rows)).map(({ exitCode }) => exitCode)).toEqual([1, 7, 1, 1])
  })

  test.each(['UNKNOWN', 'RUNNING'])(
    'M7 while a job of the pipeline is %s, another is refused, and leaves no row',
    async (status) => {
      const { mia, max, entered } = await workspace()
      const { id } = await mia.submit(shell, { script: ENDLESS }, flights)
      if (status === 'RUNNING') await entered(id, 'RUNNING')
      expect(await answerOf(max.submit(shell, { script: 'true' }, flights))).toBe('ALREADY_RUNNING')
      expect((await max.list()).items.map((job) => job.id)).toEqual([id])
    },
  )

  test('M9 of two simultaneous creates one is taken', async () => {
    const { mia, max } = await workspace()
    const asked = [mia, max].map((each) => answerOf(each.submit(shell, { script: ENDLESS }, flights)))
    expect((await Promise.all(asked)).sort()).toEqual(['ALREADY_RUNNING', 'ok'])
    expect((await mia.list()).items).toHaveLength(1)
  })

  test('M10 a job of one pipeline does not hold up one of another', async () => {
    const { mia, entered } = await workspace()
    await entered((await mia.submit(shell, { script: ENDLESS }, flights)).id, 'RUNNING')
    const { id } = await mia.submit(shell, { script: 'true' }, { pipeline: 'weather' })
    expect(executions.present(await mia.result(id)).status).toBe('COMPLETE')
  })

  test('M11 a deleted job is not found, and cannot be deleted again', async () => {
    const { mia } = await workspace()
    const { id } = await mia.submit(shell, { script: 'true' }, flights)
    await mia.result(id)
    expect(await answerOf(mia.delete(id))).toBe('ok')
    expect(await answerOf(mia.get(id))).toBe('JOB_NOT_FOUND')
    expect(await answerOf(mia.delete(id))).toBe('JOB_NOT_FOUND')
  })

  test('M15 a launch that is never confirmed is UNKNOWN, and ERROR after its time-out; its slot is free when its code has stopped', async () => {
    const clock = virtualClock()
    const launches = new Launches()
    const { mia, engine, row } = await workspace({ clock, executors: { processes: launches.executor } })
    const { id } = await mia.submit(shell, { script: 'true' }, flights)
    await clock.advance(59_999)
    expect(await row(id)).toMatchObject({ status: 'UNKNOWN', startTime: null })
    await clock.advance(1)
    const { startTime, endTime, ...ended } = await row(id, { details: true })
    expect(ended).toMatchObject({ status: 'ERROR', exitCode: 1, exitMessage: 'ended by LaunchTimeout' })
    expect(ended.errorMessage).toBe('its launch was not confirmed within 60000 ms')
    expect(startTime).toBe(endTime)
    expect(await answerOf(mia.submit(shell, { script: 'true' }, flights))).toBe('ALREADY_RUNNING')
    launches.end(0, exitEnd({ exitCode: 0 }))
    await engine.idle()
    expect(await answerOf(mia.submit(shell, { script: 'true' }, flights))).toBe('ok')
    // What came late of the first changes nothing.
    expect(await row(id)).toMatchObject({ status: 'ERROR', exitCode: 1 })
    launches.end(1, exitEnd({ exitCode: 0 }))
  })

  test('M17 when the process of an engine is killed, its execution is gone, and its pipeline runs again by itself', async () => {
    const folder = testFolder()
    const [file, up] = [join(folder, 'jobs.db'), namedPipe('up', folder)]
    const child = fork(join(import.meta.dirname, 'executing-child.ts'), [file, up.path], { stdio: 'inherit' })
    const pid = Number(await up.read())
    child.kill('SIGKILL')
    await once(child, 'exit')
    const endless = endlessExecution('200ms')
    const { mia } = await workspace({ jobs: [endless], storage: sqliteStorage(file), sweep: 50 })
    const { id = '' } = (await mia.list()).items[0] ?? {}
    const row = executions.present(await mia.result(id), { details: true })
    expect(row).toMatchObject({ status: 'ERROR', exitCode: 1, exitMessage: 'ended by ExecutionLost' })
    expect((await mia.history(id)).map(({ to }) => to)).toEqual(['UNKNOWN', 'RUNNING', 'UNKNOWN', 'ERROR'])
    expect(runs(pid)).toBe(false)
    expect(await answerOf(mia.submit(endless, { up: '/dev/null' }, flights))).toBe('ok')
  })

  test('M19 a caller from outside the workspace gets the same answers as for an unknown id, and no events', async () => {
    const { mia, nora, person } = await workspace()
    const signal = AbortSignal.timeout(60_000)
    const heard = nora.events({ signal })[Symbol.asyncIterator]()
    const first = heard.next()
    const { id } = await mia.submit(shell, { script: 'true' }, flights)
    await mia.result(id)
    const guest = person('gus', 'Guest')
    for (const stranger of [nora, guest]) {
      for (const call of [stranger.get(id), stranger.history(id), stranger.delete(id), stranger.result(id)]) {
        expect(await answerOf(call)).toBe('JOB_NOT_FOUND')
      }
    }
    expect((await nora.list()).items).toEqual([])
    expect(await answerOf(guest.list())).toBe('FORBIDDEN')
    expect(await answerOf(guest.submit(shell, { script: 'true' }))).toBe('FORBIDDEN')
    expect(await answerOf(mia.get('00000000-0000-4000-8000-000000000000'))).toBe('JOB_NOT_FOUND')
    const own = await nora.submit(shell, { script: 'true' })
    expect((await first).value).toMatchObject({ jobId: own.id })
    await heard.return?.(undefined)
    await nora.result(own.id)
  })

  test('M20 there is no command to stop a job, nor any other, and the attempt leaves it as it is', async () => {
    const { mia, olga, entered, row } = await workspace()
    const { id } = await mia.submit(shell, { script: ENDLESS }, flights)
    const before = await entered(id, 'RUNNING')
    for (const type of ['stopped', 'stop', 'cancel', 'task.stop', 'task.started']) {
      // The types know that there is none.
      expect(await answerOf(mia.send<unknown>(id, { type }))).toBe('INVALID_INPUT')
    }
    expect(await answerOf(mia.cancel(id))).toBe('INVALID_INPUT')
    for (const who of [mia, olga]) expect(await answerOf(who.retry(id))).toBe('FORBIDDEN')
    expect(await mia.actions(id)).toEqual({ commands: [], cancel: false, retry: false, delete: true })
    expect(await row(id)).toEqual(before)
    expect(await mia.history(id)).toHaveLength(2)
  })
})

describe('the edges of the life', () => {
  test('a job that is deleted while it runs is hidden at once, and holds its slot until its process has stopped', async () => {
    const { mia, engine } = await workspace()
    const folder = testFolder()
    const [up, gate] = [namedPipe('up', folder), namedPipe('gate', folder)]
    const script = `trap 'cat ${gate.path}; exit 0' TERM; echo $$ > ${up.path}; while :; do sleep 1000 & wait; done`
    const { id } = await mia.submit(shell, { script }, flights)
    const pid = Number(await up.read())
    const stopped = new Promise((resolve) => engine.on('task.stopped', resolve))
    await mia.delete(id)
    expect(await answerOf(mia.get(id))).toBe('JOB_NOT_FOUND')
    expect((await mia.list()).items).toEqual([])
    expect(runs(pid)).toBe(true)
    const refused = await mia.submit(shell, { script: 'true' }, flights).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'ALREADY_RUNNING', jobId: undefined })
    await gate.write('stop\n')
    await stopped
    expect(runs(pid)).toBe(false)
    const next = await mia.submit(shell, { script: 'true' }, flights)
    expect(executions.present(await mia.result(next.id)).status).toBe('COMPLETE')
  })

  test('logs are read from a sequence, which is the number of lines before it; behind the end there are none', async () => {
    const { max, mia } = await workspace()
    const { id } = await mia.submit(shell, { script: 'echo a; echo b; echo c' }, flights)
    await mia.result(id)
    const linesFrom = async (sequence: number) => {
      const lines: string[] = []
      for await (const { text } of max.logs(id, { after: sequence })) lines.push(text)
      return lines
    }
    expect(await Promise.all([0, 1, 2, 3, 9].map(linesFrom))).toEqual([['a', 'b', 'c'], ['b', 'c'], ['c'], [], []])
  })

  test('waiting for room in an executor is not a failed launch: the time-out counts from the claim', async () => {
    const clock = virtualClock()
    const launches = new Launches(1)
    const { mia, engine, row } = await workspace({ clock, executors: { processes: launches.executor } })
    await mia.submit(shell, { script: 'true' }, flights)
    await launches.confirm(0)
    const { id } = await mia.submit(shell, { script: 'true' }, { pipeline: 'weather' })
    await clock.advance(600_000)
    expect((await row(id)).status).toBe('UNKNOWN')
    launches.end(0, exitEnd({ exitCode: 0 }))
    await clock.advance(59_000)
    expect((await row(id)).status).toBe('UNKNOWN')
    await launches.confirm(1)
    await clock.advance(600_000)
    expect((await row(id)).status).toBe('RUNNING')
    launches.end(1, exitEnd({ exitCode: 0 }))
    await engine.idle()
    expect((await row(id)).status).toBe('COMPLETE')
  })

  test('an engine that stops ends its execution, and launches it anew after its next start', async () => {
    const { mia, engine, entered } = await workspace()
    const up = namedPipe('up')
    const { id } = await mia.submit(shell, { script: `echo $$ > ${up.path}; ${ENDLESS}` }, flights)
    const pid = Number(await up.read())
    await engine.stop({ timeout: 0 })
    expect(runs(pid)).toBe(false)
    await engine.start()
    expect(Number(await up.read())).not.toBe(pid)
    await entered(id, 'RUNNING')
    expect((await mia.history(id)).map(({ to }) => to)).toEqual(['UNKNOWN', 'RUNNING', 'UNKNOWN', 'RUNNING'])
  })

  test('an execution that cannot be launched is ERROR, and its start time is its end time', async () => {
    const nowhere = executions.defineJob({ type: 'nowhere', run: { command: 'true', cwd: '/no/such/folder' } })
    const unmade = executions.defineJob({
      type: 'unmade',
      run: () => {
        throw new Error('no program for it')
      },
    })
    const { mia } = await workspace({ jobs: [nowhere, unmade] })
    for (const type of [nowhere, unmade]) {
      const view = await mia.result<unknown>((await mia.submit(type, undefined, flights)).id)
      const { startTime, endTime, ...row } = executions.present(view, { details: true })
      expect(row).toMatchObject({ status: 'ERROR', exitCode: 1 })
      expect(row.errorMessage).toMatch(/could not be started|no program for it/)
      expect(startTime).toBe(endTime)
    }
  })

  test('a function runs in a process of its own if its executor runs modules', async () => {
    const module = new URL('./execution-module.ts', import.meta.url)
    const square = executions.defineJob({
      type: 'square',
      input: z.object({ of: z.number() }),
      arguments: ({ of }) => [`${of}`],
      executor: 'modules',
      execute: () => {},
    })
    const { mia, row } = await workspace({ jobs: [square], executors: { modules: childProcess({ module }) } })
    const created = await mia.submit(square, { of: 3 }, flights)
    expect(executions.present(created).status).toBe('UNKNOWN')
    expect((await mia.result(created.id)).output).toBe(9)
    expect(await row(created.id, { details: true })).toMatchObject({
      status: 'COMPLETE',
      arguments: ['3'],
      exitCode: 0,
    })
    const failed = await mia.result((await mia.submit(square, { of: -1 }, flights)).id)
    expect(executions.present(failed, { details: true })).toMatchObject({
      exitCode: 3,
      errorMessage: expect.stringMatching(/^RangeError: it is negative\n +at /),
    })
  })
})

describe('rights', () => {
  test.each([
    ['Owner', 'mia', 'ok'],
    ['Administrator', 'mia', 'ok'],
    ['Member', 'mia', 'FORBIDDEN'],
    ['Member', 'own', 'ok'],
  ])(
    'to a %s the jobs of all are shown with details and logs, and delete of the job of %s is %s',
    async (role, whose, answer) => {
      const { mia, person } = await workspace()
      const who = person('who', role)
      const creator = whose === 'own' ? who : mia
      const { id } = await creator.submit(shell, { script: 'echo up; exit 2' }, flights)
      await creator.result(id)
      expect((await who.list({ view: 'all' })).items.map((job) => job.id)).toEqual([id])
      expect(executions.present(await who.get(id), { details: true }).arguments).toContain('echo up; exit 2')
      for await (const { text } of who.logs(id)) expect(text).toBe('up')
      expect(await answerOf(who.submit(shell, { script: 'true' }, { pipeline: 'own' }))).toBe('ok')
      expect(await answerOf(who.delete(id))).toBe(answer)
    },
  )

  test('role names are data, and an unknown option is refused by its name', async () => {
    const own = taskExecutions({ administrator: ['Chief'], member: ['Staff'] })
    const who = { kind: 'user', id: 'ada', tenant: 'acme' } as const
    const scope = (role: string) => own.policy.scope({ ...who, role }, 'list')
    expect(['Chief', 'Staff', 'Member', 'editor', 'admin'].map((role) => scope(role) !== false)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
    expect(() => taskExecutions({ owner: ['Owner'] } as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_DEFINITION' }),
    )
  })
})

describe('the definition', () => {
  test('every state is entered, an end can be reached from everywhere, and nothing throws', () => {
    const map = explore(shell, { inputs: [{ script: 'true' }] })
    expect(map).toMatchObject({ throws: [], deadEnds: [], unreachable: [], untried: [], isComplete: true })
    expect(map.ends).toEqual([
      { state: 'complete', outcome: 'success' },
      { state: 'error', outcome: 'failure' },
    ])
    expect(map.states.map(({ name, label }) => [name, label])).toEqual(
      expect.arrayContaining([
        ['unknown.requested', 'UNKNOWN'],
        ['unknown.launching', 'UNKNOWN'],
        ['unknown.lost', 'UNKNOWN'],
        ['running', 'RUNNING'],
      ]),
    )
  })

  test('an unknown option and an invalid option are refused', () => {
    const refused = (options: object) => {
      try {
        executions.defineJob(options as Parameters<typeof executions.defineJob>[0])
      } catch (error) {
        return error instanceof JobchartError ? error.code : error
      }
      return 'ok'
    }
    const run = { command: 'true' }
    expect(refused({ type: 'a', run })).toBe('ok')
    for (const options of [
      { type: 'a' },
      { type: '', run },
      { type: 'a', run, execute: () => {} },
      { type: 'a', run, timeout: '5s' },
      { type: 'a', run: { command: '' } },
      { type: 'a', run: { command: 'true', shell: true } },
      { type: 'a', run, launchTimeout: 'soon' },
      { type: 'a', execute: 'x' },
    ]) {
      expect([options, refused(options)]).toEqual([options, 'INVALID_DEFINITION'])
    }
  })

  test('has a typed input and output, and takes no command', async () => {
    const { mia } = await workspace()
    const view = await mia.result((await mia.submit(shell, { script: 'true' })).id)
    expectTypeOf(view.output).toEqualTypeOf<{ readonly exitCode: number } | undefined>()
    expect(view.output).toEqual({ exitCode: 0 })
    // @ts-expect-error the script is missing
    expect(await answerOf(mia.submit(shell, {}))).toBe('INVALID_INPUT')
    // @ts-expect-error there is no such command
    expect(await answerOf(mia.send(view.id as typeof view.id, { type: 'stop' }))).toBe('INVALID_INPUT')
  })
})

/** An executor of programs that runs none: a test confirms and ends its launches. */
class Launches {
  readonly #room: number
  readonly #works: { readonly work: Work; readonly end: (end: TaskEnd) => void }[] = []
  #running = 0

  constructor(room = 10) {
    this.#room = room
  }

  readonly executor: Executor = {
    room: () => this.#room - this.#running,
    start: async (work) => {
      this.#running++
      const { promise, resolve } = Promise.withResolvers<TaskEnd>()
      this.#works.push({ work, end: resolve })
      return await promise.finally(() => this.#running--)
    },
    close: async () => {},
    reportsStart: true,
    kills: true,
  }

  async confirm(index: number): Promise<void> {
    await this.#works[index]?.work.channel.started()
  }

  end(index: number, end: TaskEnd): void {
    this.#works[index]?.end(end)
  }
}
