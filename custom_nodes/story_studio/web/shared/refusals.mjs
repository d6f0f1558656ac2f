/** Why ComfyUI refuses a node, in a sentence that says what to do. `story/refusals.py` has the same. */
import { localized } from './sentences.mjs'

/** What the stock loaders of images, audio and video say of a name. */
const MISSING_FILE = /Invalid \w+ file: ([\s\S]+)$/

/** The reason for the errors of a node, in the form in which ComfyUI's server sends them. */
export const reasonOf = errors => localized(errors.map(sentence).join(' '))

function sentence({ type, message, details, extra_info: about }) {
  const [, file] = MISSING_FILE.exec(details ?? '') ?? []
  if (file) return `${file} is not in the input folder: choose another file.`
  const { input_name: name, received_value: value } = about ?? {}
  if (type === 'required_input_missing') return `${name} is missing: set it, or link something to it.`
  if (type === 'value_not_in_list') return `${value} is not among the choices of ${name}: choose another, or add the file and reload.`
  return [message, details].filter(Boolean).join(': ')
}
