/** All takes of a still or clip side by side, large, each with what it was made from. */
import { chooseTake } from '../actions/pins.mjs'
import { figuresOf, firstSentence } from '../shared/check_texts.mjs'
import { openDialog } from '../shared/dialog.mjs'
import { differences } from '../shared/difference.mjs'
import { arrange, h, kept, set } from '../shared/dom.mjs'
import { date, t } from '../shared/words.mjs'
import { createBadge } from './checks.mjs'

/** `paint` takes the part of a scene as `shownScenes` gives it; `open` shows its takes. */
export function createComparison(id, part, studio) {
  let [now, title, takes, list] = [null, '', new Map(), null]

  function fill() {
    if (!list) return
    takes = kept(takes, now.takes.map(take => take.key), createTake)
    arrange(list, [...takes.values()].map(one => one.element))
    now.takes.forEach((take, index) => takes.get(take.key).paint(take, now.takes.length - index))
  }

  function createTake(key) {
    const media = part === 'still' ? h('img', { loading: 'lazy' }) : h('video', { controls: true, preload: 'metadata' })
    const heading = h('strong')
    const use = h('button', { type: 'button', className: 'use', onclick: () => chooseTake(studio, id, part, key) })
    const about = h('div')
    const element = h('li', {}, media, h('div', { className: 'head' }, heading, use), about)
    let written = ''
    return {
      element,
      paint(take, number) {
        const used = key === now.key
        const name = t('take {} of {}', number, title)
        const url = studio.url(take.file)
        if (media.getAttribute('src') !== url) media.src = url
        media.setAttribute(part === 'still' ? 'alt' : 'aria-label', name)
        set(heading, { textContent: t('Take {}', number) })
        set(use, { textContent: used ? t('In use') : t('Use') })
        use.setAttribute('aria-label', t('Use take {} of {}, {}', number, now.takes.length, key))
        use.setAttribute('aria-pressed', String(used))
        element.dataset.used = used
        const facts = JSON.stringify([take, name, now.seed, now.prompt])
        if (written === facts) return
        written = facts
        about.replaceChildren(...factsOf(take, name))
      },
    }
  }

  function* factsOf(take, name) {
    if (take.check) {
      const badge = createBadge(studio)
      badge.paint(take.check, name)
      yield h('div', { className: 'head' }, h('span', { className: 'finding', textContent: firstSentence(take.check) }), badge.element)
      yield h('span', { className: 'figures', textContent: figuresOf(take.check) })
    }
    const rows = [[t('Date'), date(take.date)], [t('Seed'), take.seed === null ? '' : marked(String(take.seed), String(now.seed))]]
    rows.push([t('Prompt'), take.prompt && marked(take.prompt, now.prompt)])
    yield h('dl', {}, ...rows.filter(([, value]) => value).flatMap(([term, value]) => [h('dt', { textContent: term }), h('dd', {}, value)]))
  }

  return {
    open() {
      list = h('ol', { onkeydown: moveFocus })
      const heading = t(`Takes of the ${part} of {}`, title)
      const hint = h('p', { className: 'prompt', textContent: t('What differs from the graph as it is now is underlined.') })
      const props = { label: heading, className: 'compare', onclose: () => ([list, takes] = [null, new Map()]) }
      openDialog(props, h('h3', { textContent: heading }), hint, list)
      fill()
      ;(list.querySelector('[data-used=true] .use') ?? list.querySelector('.use')).focus()
    },
    paint(part, name) {
      ;[now, title] = [part, name]
      fill()
    },
  }
}

/** Arrow keys go from take to take. */
function moveFocus(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
  if (!step || event.target.matches('video')) return
  const uses = [...event.currentTarget.querySelectorAll('.use')]
  const at = uses.findIndex(use => use.closest('li').contains(event.target))
  uses[at + step]?.focus()
  event.preventDefault()
}

/** A text with the words marked that are not in the other. */
function marked(text, other) {
  const found = document.createDocumentFragment()
  for (const [piece, differs] of differences(text, other)) found.append(differs ? h('mark', { textContent: piece }) : piece)
  return found
}
