/** The storyboard panel: its sections, and the list of the scenes. */
import { render, stop } from '../actions/render.mjs'
import { arrange, h, set } from '../shared/dom.mjs'
import { CIRCLE } from '../shared/nodes.mjs'
import { loadStyles } from '../shared/styles.mjs'
import { t } from '../shared/words.mjs'
import { markClips, shownScenes } from '../state/shown.mjs'
import { createCard } from './card.mjs'
import { createCharacters } from './characters.mjs'
import { createAdding, createApart } from './edit.mjs'
import { createFilm } from './film.mjs'
import { createFinishing } from './finishing.mjs'
import { createScenesHead } from './fold.mjs'
import { createLeftOut } from './left_out.mjs'
import { createPlanSection } from './plan.mjs'
import { paintUnlessPressed } from './press.mjs'
import { createRunning } from './running.mjs'
import { createSettings, createSwitch } from './settings.mjs'
import { createSpoken } from './spoken.mjs'
import { createStart } from './start.mjs'

const BUTTONS = [
  ['still', 'Stills', 'Render only the stills, to check them before the clips'],
  ['clip', 'Clips', 'Render all clips, and the stills that they need'],
  ['film', 'Film', 'Render whatever the film still needs, and the film'],
]
/** What stands above and below the scenes: functions of the studio that return `{element, paint(scenes)}`. */
const ABOVE = [createRunning, byWorkflow(createSwitch), createPlanSection, byWorkflow(createSettings), byWorkflow(createCharacters), createFilm, createFinishing, createScenesHead, createLeftOut]
const BELOW = [createAdding, createSpoken]
const STYLES = ['panel', 'dialog', 'edit', 'film', 'finishing', 'plan', 'settings', 'takes', 'voice']
/** Before the panel is opened for the first time, so that nothing is ever painted without them. */
const styled = loadStyles(STYLES)

/** Builds the panel in an element, and keeps it up to date until it is closed. */
export function createView(element, studio) {
  const problem = h('p', { className: 'problem', role: 'status' })
  const list = h('ol')
  const apart = createApart()
  const file = createStart(studio)
  const tools = createRenderTools(studio)
  const above = ABOVE.map(create => create(studio))
  const below = BELOW.map(create => create(studio))
  const sections = [file, tools, ...above, ...below]
  const panel = h('section', { className: 'story-studio', aria: { label: t('Storyboard') } })
  panel.append(h('header', {}, h('h2', { textContent: t('Storyboard') }), file.element, tools.element), problem, file.begin)
  panel.append(...above.map(one => one.element), list, apart.element, ...below.map(one => one.element))
  styled.then(() => element.replaceChildren(panel))
  let cards = new Map()
  let workflow = studio.model.workflow

  function paint() {
    const scenes = shownScenes(studio)
    markClips(studio, scenes)
    const circle = scenes.some(scene => scene.circle) ? t(CIRCLE) : ''
    const text = studio.model.problem || studio.runs.session().problem || circle
    set(problem, { textContent: text, hidden: !text })
    sections.forEach(one => one.paint(scenes))
    // Scenes of another workflow have the same ids if both were made from one template.
    const known = workflow === studio.model.workflow ? cards : new Map()
    const before = cards
    workflow = studio.model.workflow
    cards = new Map(scenes.map(scene => [scene.id, known.get(scene.id) ?? createCard(scene, studio)]))
    for (const [id, card] of before) if (cards.get(id) !== card) card.close()
    const inFilm = scenes.filter(scene => scene.in_film)
    const others = scenes.filter(scene => !scene.in_film)
    fill(list, inFilm.map(scene => cards.get(scene.id).element))
    fill(apart.list, others.map(scene => cards.get(scene.id).element))
    apart.paint(others)
    for (const scene of scenes) cards.get(scene.id).paint(scene)
  }

  const leave = studio.listen(paintUnlessPressed(panel, paint))
  return {
    element,
    close() {
      leave()
      for (const card of cards.values()) card.close()
      cards = new Map()
      // Removed with the panel, they would never say that they are closed.
      for (const dialog of panel.querySelectorAll('dialog')) dialog.close()
    },
  }
}

/** A section of which each workflow has its own: what was typed or is going on in one is not of another. */
function byWorkflow(create) {
  return studio => {
    const known = new WeakMap()
    const element = h('div')
    return {
      element,
      paint(scenes) {
        const workflow = studio.model.workflow ?? studio
        if (!known.has(workflow)) known.set(workflow, create(studio))
        const section = known.get(workflow)
        arrange(element, [section.element])
        section.paint(scenes)
      },
    }
  }
}

/** Puts cards into a list; what has the focus keeps it while its card moves, and leaves it to the next card. */
function fill(list, wanted) {
  const focused = document.activeElement
  const at = [...list.children].findIndex(one => one.contains(focused))
  arrange(list, wanted)
  if (at < 0 || focused === document.activeElement) return
  const next = list.contains(focused) ? focused : [...list.children].at(Math.min(at, list.children.length - 1))?.querySelector('.name')
  next?.focus({ preventScroll: true })
}

function createRenderTools(studio) {
  const buttons = BUTTONS.map(([what, label, title]) =>
    h('button', { type: 'button', textContent: t(label), title: t(title), onclick: () => render(studio, what) }),
  )
  const halt = h('button', { type: 'button', textContent: t('Stop'), className: 'stop', onclick: () => stop(studio) })
  const element = h('div', { className: 'tools', role: 'group', aria: { label: t('Render') } }, ...buttons, halt)
  return {
    element,
    paint(scenes) {
      set(element, { hidden: !scenes.length })
      const { running, queued } = studio.runs.session()
      const ends = !running && !queued.length
      // What is hidden loses the focus to the page.
      if (ends && document.activeElement === halt) buttons.at(-1).focus()
      set(halt, { hidden: ends })
      const some = { still: scenes.some(one => one.still), clip: scenes.some(one => one.clip), film: studio.model.films.length > 0 }
      BUTTONS.forEach(([what], index) => set(buttons[index], { disabled: !some[what] }))
    },
  }
}
