/** During a run: how many results are finished, which scene is being made, and the time left. */
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'
import { made, timeFor } from '../state/plan.mjs'
import { duration } from './reasons.mjs'

export function createRunning(studio) {
  const bar = h('progress', { max: 1 })
  const text = h('p')
  const element = h('div', { className: 'running', hidden: true, role: 'group', aria: { label: t('Progress') } }, bar, text)
  bar.setAttribute('aria-label', t('Progress'))
  return {
    element,
    paint(scenes) {
      const run = studio.runs.session()
      set(element, { hidden: !run.running })
      if (!run.running) return
      const wanted = [...(run.wanted ?? [])]
      const left = wanted.filter(id => !run.finished?.has(id))
      const work = scenes.find(one => ['drawing', 'talking'].includes(one.state))
      const part = partsOf(studio, run)
      const done = wanted.length - left.length + left.reduce((sum, id) => sum + (part[id] ?? 0), 0)
      // Without a value, it shows that something is going on.
      if (wanted.length) set(bar, { value: done / wanted.length })
      else bar.removeAttribute('value')
      const waiting = run.queued?.length
      const said = [
        wanted.length ? t('{} of {}', wanted.length - left.length, wanted.length) : '',
        work ? `${work.name || t('Scene')}: ${t(work.state)}${work.progress ? ` ${Math.round(work.progress * 100)} %` : ''}` : '',
        timeLeft(studio.plan.now(), wanted.length ? left : undefined, part),
        waiting ? t('{} more runs are waiting', waiting) : '',
      ]
      set(text, { textContent: said.filter(Boolean).join(' · ') })
    },
  }
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
