/** Checks of a policy through an engine: each method of a session should show exactly what the policy allows. */
import assert from 'node:assert/strict'
import type { JobView, Page, PipelineView } from 'jobchart'
import type { Principal } from '../port/policy.ts'
import { isShown, type PolicyBench, type PolicyChecks, said, verdictOn } from './authorization-answers.ts'
import { answerText, codeOf, jobMethods, type Method, pipelineMethods, textOf } from './authorization-methods.ts'
import { questionOf } from './authorization-samples.ts'
import { ABSENT, inWorld, type Stored, type World } from './authorization-world.ts'

/** The checks through an engine: P3, P4. */
export const engineChecks: PolicyChecks = {
  'P4 every method of an engine answers for a hidden job as for a missing one': async (bench) => {
    await inWorld(bench, async (world) => {
      for (const who of bench.principals) await looksAbsent(bench, world, who, world.jobs, jobMethods, 'get')
    })
  },

  'P4 every method of an engine answers for a hidden pipeline as for a missing one': async (bench) => {
    await inWorld(bench, async (world) => {
      for (const who of bench.principals) {
        await looksAbsent(bench, world, who, world.pipelines, pipelineMethods, 'getPipeline')
      }
    })
  },

  'P3 list, its pages, count and actions show exactly the jobs that get shows, as get shows them': async (bench) => {
    await inWorld(bench, async (world) => {
      for (const who of bench.principals) {
        const session = world.sessionOf(who)
        const shown = new Map(await seenBy(world.jobs, (id) => session.get(id)))
        const views = await listed((page) => session.list(page))
        for (const view of views)
          assert.equal(textOf(view), shown.get(view.id), `a list shows ${said(who)} other than get`)
        assert.deepEqual(idsOf(views), [...shown.keys()].sort(), `list and get show ${said(who)} other jobs`)
        const count = await session.count().catch(() => 0)
        assert.equal(count, shown.size, `count gives ${said(who)} another number of jobs than get shows`)
        const able = await session.actions(world.jobs.map(({ id }) => id))
        assert.deepEqual([...able.keys()].sort(), [...shown.keys()].sort(), `actions names other jobs to ${said(who)}`)
      }
    })
  },

  "P3 view 'all' shows what list shows, or is forbidden, as views says": async (bench) => {
    await inWorld(bench, async (world) => {
      for (const who of bench.principals) {
        const session = world.sessionOf(who)
        const views = await session.views()
        const lists = [session.list(), session.list({ view: 'assigned' }), session.list({ view: 'all' })]
        const codes = await Promise.all(lists.map(codeOf))
        const named = [views.includes('mine'), views.includes('assigned'), views.includes('all')]
        assert.deepEqual(
          codes,
          named.map((isNamed) => (isNamed ? 'ok' : 'FORBIDDEN')),
          said(who),
        )
        if (!views.includes('all')) continue
        const all = idsOf(await listed((page) => session.list({ ...page, view: 'all' })))
        assert.deepEqual(all, idsOf(await listed((page) => session.list(page))), `all of ${said(who)} is another list`)
      }
    })
  },

  "P3 view 'assigned' shows exactly the jobs that list shows and that are assigned to the caller": async (bench) => {
    await inWorld(bench, async (world) => {
      for (const who of bench.principals) {
        const session = world.sessionOf(who)
        const views: readonly JobView[] = await listed((page) => session.list(page))
        // A job whose assignee is redacted is not found by its assignee.
        const own = views.filter(({ assignee }) => assignee === who.id)
        const assigned = await listed<JobView>((page) => session.list({ ...page, view: 'assigned' }))
        assert.deepEqual(idsOf(assigned), idsOf(own), `the view 'assigned' of ${said(who)}`)
      }
    })
  },

  'P3 pipelines.list and its pages show exactly the pipelines that pipelines.get shows': async (bench) => {
    await inWorld(bench, async (world) => {
      for (const who of bench.principals) {
        const { pipelines } = world.sessionOf(who)
        const shown = new Map(await seenBy(world.pipelines, (id) => pipelines.get(id)))
        const views: readonly PipelineView[] = await listed((page) => pipelines.list(page))
        for (const view of views) {
          // Pipelines of another tenant are not compared: `get` looks only in the own tenant, which may have one with
          // the same id.
          if (view.tenant === who.tenant) assert.equal(textOf(view), shown.get(view.id), said(who))
        }
        const own = idsOf(views.filter(({ tenant }) => tenant === who.tenant))
        assert.deepEqual(own, [...shown.keys()].sort(), `pipelines.list and .get show ${said(who)} other pipelines`)
      }
    })
  },

  'P4 events sends exactly the events of jobs that it allows, and none of a job that get hides': async (bench) => {
    await inWorld(bench, async (world) => {
      for (const who of bench.principals) {
        const session = world.sessionOf(who)
        const told = await world.eventsOf(session).catch(() => [])
        const ids = new Set(
          told.flatMap((event) => ('jobId' in event && event.jobId !== undefined ? [event.jobId] : [])),
        )
        const allowed: string[] = []
        for (const { id, target } of world.jobs) {
          const { status, ...asked } = target
          if (isShown(await verdictOn(bench, { who, action: 'events', target: asked }))) allowed.push(id)
        }
        assert.deepEqual([...ids].sort(), allowed.sort(), `events tells ${said(who)} of other jobs than it is allowed`)
        for (const id of ids) {
          const code = await codeOf(session.get(id))
          assert.equal(code, 'ok', `events tells ${said(who)} of a job that get hides`)
        }
      }
    })
  },
}

async function looksAbsent(
  bench: PolicyBench,
  world: World,
  who: Principal,
  all: readonly Stored[],
  methods: readonly Method[],
  read: 'get' | 'getPipeline',
): Promise<void> {
  const session = world.sessionOf(who)
  const absent = new Map<Method, string>()
  for (const method of methods) absent.set(method, await answerText(method.call(session, ABSENT), ABSENT))
  for (const { id, target } of all) {
    // `pipelines.get` looks for an id only in the principal's own tenant.
    if (read === 'getPipeline' && target.tenant !== who.tenant) continue
    if (isShown(await verdictOn(bench, { ...questionOf(who, read, target), target }))) continue
    for (const method of methods) {
      const { action, command, name, call } = method
      const { status, ...ofEvents } = target
      const asked = action === 'events' ? ofEvents : target
      const about = command === undefined ? asked : { ...asked, command }
      // If the policy allows the action, although it hides the job, the principal may learn that the job exists.
      if (isShown(await verdictOn(bench, { who, action, target: about }))) continue
      const answer = await answerText(call(session, id), id)
      assert.equal(answer, absent.get(method), `${name} tells ${said(who)} that there is ${said(target)}`)
    }
  }
}

async function seenBy(
  all: readonly Stored[],
  look: (id: string) => Promise<unknown>,
): Promise<readonly (readonly [string, string])[]> {
  const seen: [string, string][] = []
  for (const { id } of all) {
    const view = await look(id).catch(() => undefined)
    if (view !== undefined) seen.push([id, textOf(view)])
  }
  return seen
}

/** All entries of a list, read in pages of two. Empty if the principal may list nothing. */
async function listed<View extends JobView | PipelineView>(
  list: (page: { readonly limit: number; readonly cursor?: string }) => ReturnType<PageOf<View>>,
): Promise<readonly View[]> {
  const views: View[] = []
  let cursor: string | undefined
  do {
    const page: Page<View> = await list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) }).catch(none)
    views.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== undefined)
  return views
}

type PageOf<View> = () => Promise<Page<View>>

function none(): Page<never> {
  return { items: [] }
}

function idsOf(views: readonly { readonly id: string }[]): readonly string[] {
  return views.map(({ id }) => id).sort()
}
