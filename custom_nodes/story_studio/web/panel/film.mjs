/** The film: whether it is up to date, its player, the button that makes it, and what it is exported as. */
import { renderFilm } from '../actions/render.mjs'
import { arrange, h, kept, set } from '../shared/dom.mjs'
import { CIRCLE } from '../shared/nodes.mjs'
import { date, percent, t } from '../shared/words.mjs'
import { createExport } from './export.mjs'
import { clock, openPlayer } from './player.mjs'

const STATES = { missing: 'not made yet', old: 'out of date', current: 'up to date', running: 'being made' }
/** Why a film cannot be made, and what to do. */
const PROBLEMS = { circle: CIRCLE, 'no scenes': 'No scene leads to this film: link one to it, or add one to the film.' }
/** How many scenes are named before the rest is counted. */
const NAMED = 3

/** The section of the films of the workflow, most often one. */
export function createFilm(studio) {
  const element = h('section', { className: 'film', aria: { label: t('Film') } })
  let rows = new Map()
  return {
    element,
    paint(scenes) {
      const films = studio.films.shown()
      set(element, { hidden: !films.length })
      rows = kept(rows, films.map(one => one.id), () => createRow(studio))
      arrange(element, [...rows.values()].map(row => row.element))
      for (const film of films) rows.get(film.id).paint(film, scenes)
    },
  }
}

/** What a film is called: its title, and its number if another has the same. */
export function filmTitle({ model }, id) {
  const titleOf = one => [model.prompt[one]?.inputs.title].find(title => typeof title === 'string' && title) ?? t('Film')
  const same = model.films.filter(one => titleOf(one) === titleOf(id))
  return same.length > 1 ? `${titleOf(id)} (${same.indexOf(id) + 1})` : titleOf(id)
}

function createRow(studio) {
  let now = null
  let shown = ''
  const title = () => filmTitle(studio, now.id)
  const image = h('video', { preload: 'metadata', muted: true, tabIndex: -1, aria: { hidden: 'true' } })
  const open = () => openPlayer(studio, now.film, title())
  const play = h('button', { type: 'button', className: 'poster', title: t('Play the film'), onclick: open, aria: { label: t('Play the film') } }, image)
  const name = h('strong', { dir: 'auto', textContent: t('Film') })
  const state = h('span', { className: 'film-state', role: 'status' })
  const about = h('p', { className: 'about' })
  const why = h('p', { className: 'why' })
  const make = h('button', { type: 'button', textContent: t('Make the film'), onclick: () => make.ariaDisabled === 'true' || renderFilm(studio, now.id) })
  const exports = createExport(studio)
  const words = h('div', { className: 'words' }, h('div', { className: 'head' }, name, state), about, why, h('div', { className: 'tools' }, make, exports.element))
  return {
    element: h('div', { className: 'row' }, play, words),
    paint(film, scenes) {
      now = film
      const url = film.film ? studio.url(film.film.file) : ''
      if (shown !== url) {
        shown = url
        if (url) image.src = `${url}#t=0.5`
      }
      set(play, { hidden: !url, className: `poster ${film.state === 'old' ? 'old' : ''}` })
      set(name, { textContent: title(), title: title() })
      set(state, { textContent: t(STATES[film.state]) + percent(film.progress) })
      state.dataset.film = film.state
      set(about, { textContent: film.film ? figuresOf(film.film) : '', hidden: !film.film })
      const problem = film.problem ? t(PROBLEMS[film.problem]) : ''
      const reasons = problem || [film.state === 'old' ? reasonsOf(film, studio, scenes) : '', failuresOf(film, studio, scenes)].filter(Boolean).join(' ')
      set(why, { textContent: reasons, hidden: !reasons })
      // Once it is pressed there is nothing more to make; a disabled button would lose the focus.
      make.setAttribute('aria-disabled', String(!!problem || film.state === 'current' || film.state === 'running'))
      make.title = problem || t(film.state === 'current' ? 'The film is up to date' : 'Render whatever the film still needs, and the film')
      // Where there are several films, each says for which it is.
      const which = studio.model.films.length > 1 ? `: ${title()}` : ''
      play.setAttribute('aria-label', t('Play the film') + which)
      make.setAttribute('aria-label', t('Make the film') + which)
      exports.summary.setAttribute('aria-label', t('Export…') + which)
      exports.paint(film, scenes)
    },
  }
}

const listed = names => names.slice(0, NAMED).join(', ') + (names.length > NAMED ? t(' and {} more', names.length - NAMED) : '')

function figuresOf({ seconds, width, height, date: made }) {
  return [clock(seconds), `${width} × ${height}`, date(made)].join(' · ')
}

/** Which of its scenes failed, so that there is no film of what is on the canvas. */
function failuresOf({ state, clips }, studio, scenes) {
  const failed = scenes.filter(scene => scene.state === 'failed' && clips.includes(studio.scene(scene.id).clip))
  return failed.length && ['missing', 'old'].includes(state) ? t('Failed: {}.', listed(failed.map(({ title }) => title))) : ''
}

/** Why a film is out of date, as sentences; `scenes` are as `shownScenes` gives them. */
function reasonsOf({ changes, clips }, studio, scenes) {
  if (!changes) return t('It was made before the last change.')
  const titles = new Map(scenes.map(({ id, title }) => [studio.scene(id).clip, title]))
  const nameOf = index => titles.get(clips[index]) ?? `${index + 1}.`
  return [
    changes.scenes.length && t('Changed: {}.', listed(changes.scenes.map(nameOf))),
    changes.added.length && t('New: {}.', listed(changes.added.map(nameOf))),
    changes.removed.length && t('Removed: {}.', listed(changes.removed.map(name => name || t('Scene')))),
    changes.order && t('The scenes are in another order.'),
    changes.settings && t('The settings of the film are changed.'),
  ]
    .filter(Boolean)
    .join(' ')
}
