import { answerAgent, transportOver } from 'jobchart/agents'
import { agentConformance } from 'jobchart/testing'
import { describe, test } from 'vitest'

describe('the calls in the process of the engine', () => {
  agentConformance((served) => ({ transport: served }), { test })
})

describe('the calls as JSON text', () => {
  const overText = (value: unknown) => JSON.parse(JSON.stringify(value))
  agentConformance(
    (served) => ({
      transport: transportOver(async (request, options) =>
        overText(await answerAgent(served, overText(request), options)),
      ),
    }),
    { test },
  )
})
