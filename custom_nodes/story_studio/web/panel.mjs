/** The DOM of the storyboard panel. */
import { createBadge, figuresOf, firstSentence } from './checks.mjs'
import { h, set } from './dom.mjs'
import { t } from './words.mjs'

const EMPTY =
  'No scenes yet. Choose Workflow > Browse Templates > story_studio and open Story or Draft; open a story file, or drop its folder on the canvas; or add a Still and a Clip node to your own workflow.'
const BUTTONS = [
  ['still', 'Stills', 'Render only the stills, to check them before the clips'],
  ['clip', 'Clips', 'Render all clips, and the stills that they need'],
  ['film', 'Film', 'Render whatever the film still needs, and the film'],
]

/** Builds the panel in an element; `actions` are called by its buttons. */
export function createView(element, actions) {
  const style = h('link', { rel: 'stylesheet', href: new URL('panel.css', import.meta.url).href })
  const say = h('p', { className: 'problem', role: 'status' })
  const empty = h('p', { className: 'empty', textContent: t(EMPTY) })
  const list = h('ol')
  const buttons = BUTTONS.map(([what, label, title]) =>
    h('button', { type: 'button', textContent: t(label), title: t(title), onclick: () => actions.render(what) }),
  )
  const stop = h('button', { type: 'button', textContent: t('Stop'), className: 'stop', onclick: () => actions.stop() })
  const tools = h('div', { className: 'tools', role: 'group', aria: { label: t('Render') } }, ...buttons, stop)
  const panel = h('section', { className: 'story-studio', aria: { label: t('Storyboard') } })
  const picker = h('input', { type: 'file', multiple: true, hidden: true, accept: '.yaml,.yml,.json,.fountain,.csv,.srt,.vtt,.md,.txt,audio/*,video/*,image/*', onchange: () => actions.open(picker.files) })
  const open = h('button', { type: 'button', textContent: t('Open…'), title: t('A story file (YAML or JSON) or a script, chosen together with its recordings'), onclick: () => (set(picker, { value: '' }), picker.click()) })
  const save = h('button', { type: 'button', textContent: t('Save'), title: t('These scenes as a story file'), onclick: () => actions.save() })
  const file = h('div', { className: 'tools', role: 'group', aria: { label: t('Story file') } }, open, save, picker)
  panel.append(h('header', {}, h('h2', { textContent: t('Storyboard') }), file, tools), say, empty, list)
  element.replaceChildren(style, panel)
  let cards = new Map()

  return {
    element,
    paint({ scenes, films, running, problem }) {
      set(say, { textContent: problem, hidden: !problem })
      set(empty, { hidden: scenes.length > 0 })
      set(tools, { hidden: !scenes.length })
      set(save, { disabled: !scenes.length })
      set(stop, { hidden: !running })
      const some = { still: scenes.some(one => one.still), clip: scenes.some(one => one.clip), film: films > 0 }
      BUTTONS.forEach(([what], index) => set(buttons[index], { disabled: !some[what] }))
      const known = cards
      cards = new Map(scenes.map(scene => [scene.id, known.get(scene.id) ?? createCard(scene, actions)]))
      const wanted = [...cards.values()].map(card => card.element)
      if (wanted.length !== list.children.length || wanted.some((one, index) => one !== list.children[index])) {
        list.replaceChildren(...wanted)
      }
      scenes.forEach((scene, index) => cards.get(scene.id).paint(scene, index + 1))
    },
  }
}

function createCard({ id, ...scene }, actions) {
  const name = h('button', { type: 'button', className: 'name', title: t('Show on the canvas') })
  const state = h('span', { className: 'state' })
  const badge = createBadge(actions)
  const reason = h('p', { className: 'reason', role: 'alert' })
  const finding = h('p', { className: 'finding' })
  const prompt = h('p', { className: 'prompt' })
  const parts = ['still', 'clip'].filter(part => scene[part]).map(part => createPart(id, part, actions))
  const media = h('div', { className: 'media' }, ...parts.map(part => part.element))
  const element = h('li', {}, h('div', { className: 'head' }, name, badge.element, state), reason, finding, media)
  element.append(...parts.map(part => part.strip), prompt)
  element.onclick = event => event.target.closest('video, figcaption, .takes, .verdict') || actions.show(id)
  return {
    element,
    paint(now, number) {
      const percent = now.progress ? ` ${Math.round(now.progress * 100)} %` : ''
      const title = `${number}. ${now.name || t('Scene')}`
      set(name, { textContent: title })
      set(state, { textContent: t(now.state) + percent })
      badge.paint(now.check, title)
      set(finding, { textContent: firstSentence(now.check), hidden: !now.check?.finding })
      set(reason, { textContent: now.reason, hidden: !now.reason })
      set(prompt, { textContent: now.prompt, title: now.prompt, hidden: !now.prompt })
      element.dataset.state = now.state
      parts.forEach(part => part.paint(now, title))
    },
  }
}

function createPart(id, part, actions) {
  const label = t(part === 'still' ? 'Still' : 'Clip')
  const frame = h('div', { className: 'frame' })
  const strip = h('div', { className: 'takes', role: 'group', hidden: true })
  const again = h('button', { type: 'button', textContent: t('New take'), onclick: () => actions.newTake(id, part) })
  const earlier = h('button', {
    type: 'button',
    onclick() {
      strip.hidden = !strip.hidden
      earlier.setAttribute('aria-expanded', String(!strip.hidden))
    },
    aria: { expanded: 'false' },
  })
  const element = h('figure', {}, frame, h('figcaption', {}, h('span', { textContent: label }), again, earlier))
  let shown = ''
  let listed = ''
  return {
    element,
    strip,
    paint(scene, title) {
      const { file, old, takes, chosen } = scene[part]
      const url = file ? actions.url(file) : ''
      if (shown !== url || !frame.firstChild) {
        frame.replaceChildren(url ? media(part, url, `${label}: ${title}`, true) : h('span', { textContent: t('not rendered yet') }))
        shown = url
      }
      const stale = old && file
      set(frame, { className: `frame ${file ? part : ''} ${stale ? 'old' : ''}`, title: stale ? t('Rendered before the last change') : '' })
      again.setAttribute('aria-label', t(`New take of the ${part} of {}`, title))
      again.title = t(`Render only this ${part} again, with another seed`)
      set(earlier, { textContent: chosen ? t('Take chosen') : t('Takes {}', takes.length), hidden: !takes.length && !chosen })
      strip.setAttribute('aria-label', t(`Takes of the ${part} of {}`, title))
      const list = JSON.stringify([takes, chosen, url])
      if (listed === list) return
      listed = list
      const pick = (key, content, name) =>
        h('button', { type: 'button', title: name, onclick: () => actions.choose(id, part, key), aria: { label: name, pressed: String(key === chosen) } }, content)
      const checked = (button, check, name) => {
        if (!check) return button
        const badge = createBadge(actions)
        badge.paint(check, name)
        const figures = h('span', { className: 'figures', textContent: figuresOf(check) })
        return h('div', { className: 'take', title: firstSentence(check) }, button, h('div', {}, badge.element, figures))
      }
      strip.replaceChildren(
        pick('', t('As the graph says'), t('No take chosen: the result of the graph')),
        ...takes.map(({ key, file: one, check }, index) => {
          const number = takes.length - index
          const button = pick(key, media(part, actions.url(one), '', false), t('Use take {} of {}, {}', number, takes.length, key))
          return checked(button, check, t('take {} of {}', number, title))
        }),
      )
    },
  }
}

function media(part, src, label, large) {
  if (part === 'still') return h('img', { src, alt: label, loading: 'lazy' })
  const video = h('video', { src, preload: 'metadata', tabIndex: large ? 0 : -1, aria: { label } })
  // Permanent controls would cover a video this small.
  const control = wanted => () => (video.controls = wanted || !video.paused)
  if (large) Object.assign(video, { onmouseenter: control(true), onfocus: control(true), onmouseleave: control(false), onblur: control(false) })
  return video
}
