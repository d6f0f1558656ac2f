export default {
  '{} is not in the input folder: choose another file.': '输入文件夹中没有 {}：请选择其他文件。',
  '{} is missing: set it, or link something to it.': '缺少 {}：请设置它，或为它连接一个节点。',
  '{} is not among the choices of {}: choose another, or add the file and reload.': '{} 不在 {} 的选项中：请选择其他选项，或添加该文件后刷新页面。',
}
