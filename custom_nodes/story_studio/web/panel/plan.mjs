/** Before a run: what it will make, why, how long and in what memory. */
import { h, set } from '../shared/dom.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { remembered } from '../shared/folds.mjs'
import { partName, t } from '../shared/words.mjs'
import { made, timeFor } from '../state/plan.mjs'
import { reasonOf, saidTime } from './reasons.mjs'

export function createPlanSection(studio) {
  const summary = h('summary')
  const body = h('div')
  const element = remembered(h('details', { className: 'plan', hidden: true }, summary, body), 'plan')
  let written = ''
  return {
    element,
    paint(scenes) {
      const plan = studio.plan.now()
      // What cannot be made is said where it stands; "everything is there" would deny it.
      const isStuck = scenes.some(scene => scene.circle) || (plan && !made(plan).length && studio.films.shown().some(film => film.problem))
      set(element, { hidden: !scenes.length || !plan || isStuck || !!studio.runs.session().running })
      if (element.hidden) return
      const text = plan.problem ?? headline(plan)
      set(summary, { textContent: text })
      const rows = plan.problem ? [] : rowsOf(studio, scenes, plan)
      const notes = plan.problem ? [] : notesOf(plan)
      const now = JSON.stringify([rows, notes])
      if (now === written) return
      written = now
      const list = h('ul', {}, ...rows.map(([title, reasons]) => h('li', {}, h('strong', { textContent: title }), ...reasons.map(one => h('div', { textContent: one })))))
      body.replaceChildren(list, ...notes.map(one => h('p', { textContent: one })))
    },
  }
}

/** What is on a card: why its still and clip will be made. */
export function createForecast(_, studio) {
  const element = h('p', { className: 'forecast' })
  return {
    element,
    paint(scene) {
      const plan = studio.plan.now()
      const model = studio.runs.session().running ? null : studio.scene(scene.id)
      const lines = plan && !plan.problem && model ? linesOf(plan, model) : []
      set(element, { textContent: lines.join('\n'), hidden: !lines.length })
    },
  }
}

/** "Run makes 2 stills, 3 clips and the film: about 12 min". */
function headline(plan) {
  const ids = made(plan)
  if (!ids.length) return t('Run has nothing to make: everything is there')
  const of = kind => ids.filter(id => plan.results[id].kind === kind).length
  const counted = [
    ['still', '1 still', '{} stills'],
    ['clip', '1 clip', '{} clips'],
    ['film', '1 film', '{} films'],
  ].filter(([kind]) => of(kind))
  const what = counted.map(([kind, one, many]) => (of(kind) === 1 ? t(one) : t(many, of(kind))))
  return t('Run makes {}: {}', what.join(', '), saidTime(timeFor(plan, ids), ids.length))
}

function linesOf(plan, scene) {
  return PARTS.filter(part => plan.results[scene[part]]?.makes).map(part => {
    const id = scene[part]
    return `${partName(part)}: ${reasonOf(plan.results[id].why)} (${saidTime(timeFor({ ...plan, load: {} }, [id]), 1)})`
  })
}

/** Pairs of a title and what is made of it and why. */
function rowsOf(studio, scenes, plan) {
  const models = scenes.map(({ id, title }) => ({ title, model: studio.scene(id) }))
  const rows = models.map(({ title, model }) => [title, linesOf(plan, model)])
  const fresh = models.filter(({ model }) => plan.results[model.clip]?.makes).map(({ title }) => title)
  const films = made(plan, studio.model.films).map(id => {
    const { why } = plan.results[id]
    return fresh.length && why.before ? t('new clips: {}', fresh.join(', ')) : reasonOf(why)
  })
  const kept = rows.filter(([, lines]) => !lines.length).map(([title]) => title)
  return [
    ...rows.filter(([, lines]) => lines.length),
    ...films.map(reason => [t('Film'), [reason]]),
    ...(kept.length ? [[t('Nothing to make'), [kept.join(', ')]]] : []),
  ]
}

/** Where the time is from, and what memory it takes. */
function notesOf(plan) {
  const ids = made(plan)
  const measured = Object.values(plan.measured).reduce((sum, one) => sum + one, 0)
  const { unknown } = timeFor(plan, ids)
  const notes = []
  if (ids.length && unknown < ids.length) notes.push(measured === 1 ? t('The time is estimated from one result that this server has made with these settings.') : t('The time is estimated from {} results that this server has made with these settings.', measured))
  if (unknown) notes.push(t('Nothing with these settings was made on this server yet, so the time of {} is not known: the first one measures it.', unknown))
  if (unknown < ids.length && plan.checks) notes.push(t('The checks of clips come on top of that.'))
  return [...notes, ...memoryNotes(plan.memory)]
}

function memoryNotes(memory) {
  if (!memory) return []
  const gb = one => one.toFixed(0)
  const needs = t('Memory: needs {} GB, {} GB are free', gb(memory.needs_gb), gb(memory.free_gb))
  if (memory.keeps_all) return [t('{}: all models stay in memory.', needs)]
  const peak = t('{}: models are freed and read in turn, {} GB at once.', needs, gb(memory.peak_gb))
  return memory.fits ? [peak] : [peak, t('That may not be enough: close other programs, or use a profile with smaller models.')]
}
