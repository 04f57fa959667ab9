import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createActor, createMachine, raise, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench } from './bench.ts'

// Each function of a chart is called as often as in a live actor.

const any = z.looseObject({})

function counting(note: (name: string) => void) {
  const says = (name: string, answer: boolean) => () => {
    note(name)
    return answer
  }
  const ping = () => {
    note('event')
    return { type: 'PING' }
  }
  const child = createMachine({ on: { PING: { guard: says('child: PING', false), actions: raise({ type: 'NONE' }) } } })
  return createMachine({
    context: { n: 0 },
    invoke: { id: 'child', src: child },
    on: {
      NO: { guard: says('NO', false) },
      NONE: [{ guard: says('NONE 1', false) }, { guard: says('NONE 2', false), actions: raise({ type: 'NO' }) }],
      YES: { guard: says('YES', true), actions: assign({ n: says('assign', true) }) },
      PING: { actions: sendTo('child', ping) },
      '*': { guard: says('*', false) },
    },
  } as never)
}

async function refused(sending: Promise<unknown>): Promise<void> {
  await expect(sending).rejects.toMatchObject({ code: 'INVALID_STATE' })
}

test('a guard is called once for each event, whatever it returns', async () => {
  const live: string[] = []
  const actor = createActor(counting((name) => live.push(name))).start()
  const bench = new Bench()
  const stored: string[] = []
  const commands = { NO: any, NONE: any, YES: any, PING: any }
  const type = defineJob({ type: 'counting', lifecycle: counting((name) => stored.push(name)), commands })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  live.length = 0
  stored.length = 0
  for (const name of ['NO', 'NONE', 'YES', 'PING'] as const) {
    actor.send({ type: name } as never)
    const sending = engine.system.send(id, { type: name })
    await (name === 'NO' || name === 'NONE' ? refused(sending) : sending)
    expect(stored, name).toEqual(live)
  }
})
