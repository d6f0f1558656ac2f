/** During a run: how many results are finished, which scene is being made, and the time left. */
import { h, set } from '../shared/dom.mjs'
import { KEEPERS } from '../shared/nodes.mjs'
import { upstream } from '../shared/upstream.mjs'
import { percent, t } from '../shared/words.mjs'
import { made, timeFor } from '../state/plan.mjs'
import { duration } from './reasons.mjs'

const COUNTED = [...KEEPERS, 'StoryStudio_Film']

export function createRunning(studio) {
  const bar = h('progress', { max: 1, aria: { label: t('Progress') } })
  const text = h('p')
  const element = h('div', { className: 'running', hidden: true, role: 'group', aria: { label: t('Progress') } }, bar, text)
  let counted = { started: null, ids: new Set() }
  return {
    element,
    paint(scenes) {
      const run = studio.runs.session()
      set(element, { hidden: !run.running })
      if (!run.running) return (counted = { started: null, ids: new Set() })
      const plan = studio.plan.now()
      // The plan and the events of the run come apart: what was once counted stays, so that the number does not shrink.
      if (counted.started !== run.started) counted = { started: run.started, ids: new Set() }
      for (const id of wantedOf(studio, run, plan)) counted.ids.add(id)
      const ids = [...counted.ids]
      const left = ids.filter(id => !run.finished.has(id) && plan?.results?.[id]?.makes)
      const part = partsOf(studio, run)
      const work = scenes.find(one => ['drawing', 'talking'].includes(one.state))
      const done = ids.length - left.length + left.reduce((sum, id) => sum + (part[id] ?? 0), 0)
      // Without a value, it shows that something is going on.
      if (ids.length) set(bar, { value: done / ids.length })
      else bar.removeAttribute('value')
      const waiting = run.queued.length
      const said = [
        ids.length ? t('{} of {}', ids.length - left.length, ids.length) : '',
        work ? `${work.name}: ${t(work.state)}${percent(work.progress)}` : '',
        timeLeft(plan, left, part),
        waiting ? (waiting === 1 ? t('1 more run is waiting') : t('{} more runs are waiting', waiting)) : '',
      ]
      set(text, { textContent: said.filter(Boolean).join(' · ') })
    },
  }
}

/** The results that the run makes: not those that were there before. */
function wantedOf({ model }, run, plan) {
  const asked = run.wanted.length ? run.wanted : Object.keys(model.prompt)
  const isMade = id => plan?.results?.[id]?.makes || (run.finished.has(id) && !run.reused.has(id))
  return [...upstream(model.prompt, asked)].filter(id => COUNTED.includes(model.prompt[id]?.class_type) && isMade(id))
}

/** How much of each result that is being made is done, by its id. */
function partsOf({ model }, run) {
  const owned = Object.entries(run.active).map(([id, fraction]) => [model.owners.get(id), fraction])
  return Object.fromEntries(owned.filter(([owner]) => owner).map(([{ scene, part }, fraction]) => [scene[part], fraction]))
}

function timeLeft(plan, ids, part) {
  if (!plan || plan.problem) return ''
  const left = made(plan, ids)
  const { seconds, unknown } = timeFor(plan, left, part)
  if (!left.length) return ''
  if (unknown === left.length) return t('time left not known yet')
  const about = t('about {} left', duration(seconds))
  return unknown ? t('{}, and {} of unknown time', about, unknown) : about
}
