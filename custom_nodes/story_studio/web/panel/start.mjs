/** How a story begins: from recordings, a script, a story file or an example. */
import { openExample } from '../actions/start.mjs'
import { open, save } from '../actions/story.mjs'
import { h, set } from '../shared/dom.mjs'
import { createMenu } from '../shared/menu.mjs'
import { t } from '../shared/words.mjs'

const FILES = '.yaml,.yml,.json,.fountain,.csv,.srt,.vtt,.md,.txt,audio/*,video/*,image/*'
const INTRODUCTION = 'No scenes yet. Begin with one of these, or drop a folder or files on the canvas; or add a Still and a Clip node to your own workflow.'

/** The tools of the story file, and in `begin` what the panel shows while there are no scenes. */
export function createStart(studio) {
  const picker = h('input', { type: 'file', multiple: true, hidden: true, accept: FILES })
  picker.onchange = () => open(studio, [...picker.files].map(file => ({ path: file.webkitRelativePath || file.name, file })))
  const pick = wanted => {
    set(picker, { value: '', webkitdirectory: wanted === 'folder' })
    picker.click()
  }
  const choices = [
    [t('A folder of recordings…'), () => pick('folder'), t('A scene for each recording; a text with its name says what is said')],
    [t('A script…'), () => pick('files'), t('Fountain, Markdown, a table, subtitles or plain text, chosen together with its recordings')],
    [t('A story file…'), () => pick('files'), t('YAML or JSON, chosen together with its recordings and images')],
    [t('An example…'), () => openExample(studio), t('The workflows that come with Story Studio')],
  ]
  const { button, list, items } = createMenu(t('Open…'), choices)
  choices.forEach(([, , title], index) => set(items[index], { title }))
  const keep = h('button', { type: 'button', textContent: t('Save'), title: t('These scenes as a story file'), onclick: () => save(studio) })
  const menu = h('div', { className: 'menu' }, button, list)
  const element = h('div', { className: 'tools', role: 'group', aria: { label: t('Story file') } }, menu, keep, picker)
  const large = choices.map(([label, act, about]) =>
    h('button', { type: 'button', className: 'choice', onclick: act }, h('strong', { textContent: label }), h('span', { textContent: about })),
  )
  const begin = h('section', { className: 'begin', aria: { label: t('Begin a story') } }, h('p', { className: 'empty', textContent: t(INTRODUCTION) }), ...large)
  return {
    element,
    begin,
    paint(scenes) {
      set(keep, { disabled: !scenes.length })
      set(begin, { hidden: scenes.length > 0 })
    },
  }
}
