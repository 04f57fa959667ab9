import { defineJob, type Policy } from 'jobchart'
import { expect, test } from 'vitest'
import { ABSENT, answerText, Stage } from './stage.ts'

const slow = defineJob({ type: 'slow', execute: () => new Promise<never>(() => {}) })

test.fails('I52 history with an aborted signal tells a hidden job from none, where the policy throws for a denial: it alone does not look at its signal first, and a failed answer is followed by a look at it', async () => {
  const stage = await Stage.open({ jobs: [slow] })
  const { id } = await stage.freely({ id: 'ada', tenant: 'acme' }, (session) => session.submit(slow, 1))
  const throwing: Policy = {
    authorize: ({ tenant }, _, target) => {
      if (tenant !== target.tenant) throw new Error('another tenant')
      return 'allow'
    },
    scope: () => false,
  }
  stage.policy = throwing
  const eve = stage.engine.as({ id: 'eve', tenant: 'other', role: 'admin' })
  const options = { signal: AbortSignal.abort() }
  const hidden = await answerText(() => eve.history(id, options), id)
  expect(hidden).toBe(await answerText(() => eve.history(ABSENT, options), ABSENT))
})
