/** What a run would make, as the server foresees it. */
import { ask } from '../shared/server.mjs'
import { createTurns } from '../shared/turns.mjs'
import { t } from '../shared/words.mjs'
import { root } from '../shared/workflow.mjs'

/**
 * Keeps the plan of the workflow on the canvas.
 *
 * @returns `now()`, as POST /story_studio/plan answers, with a `problem` in place of it if it could not; null while
 *   nothing is known; `forget()`, for another workflow; and `read(prompt)`, which asks again.
 */
export function createPlan(studio) {
  let plan = null
  const turn = createTurns()
  return {
    now: () => plan,
    forget: () => (plan = null),
    async read(prompt) {
      const isLast = turn()
      let answer = null
      try {
        const workflow = root(studio.app).id ?? ''
        if (studio.model.scenes.length) answer = await ask(studio.app, 'plan', { prompt, workflow_id: workflow })
      } catch (error) {
        answer = { problem: t('The plan could not be made: {}', error.message), results: {} }
      }
      if (!isLast()) return
      plan = answer
      studio.changed()
    },
  }
}

/** The ids of what the run would make, of these nodes or of all. */
export const made = (plan, ids = Object.keys(plan?.results ?? {})) => ids.filter(id => plan?.results[id]?.makes)

/**
 * How long it takes to make these, in seconds.
 *
 * @param part how much of each is done, 0 to 1, by id.
 * @returns `seconds`, and how many are `unknown`, which are not in them.
 */
export function timeFor(plan, ids, part = {}) {
  const known = ids.filter(id => plan.results[id].seconds !== null)
  const loads = new Set(known.filter(id => !part[id]).map(id => plan.results[id].kind))
  const work = known.map(id => plan.results[id].seconds * (1 - (part[id] ?? 0)))
  const seconds = [...work, ...[...loads].map(kind => plan.load[kind] ?? 0)].reduce((sum, one) => sum + one, 0)
  return { seconds, unknown: ids.length - known.length }
}
