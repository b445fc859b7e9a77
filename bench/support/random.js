export function anyOf(list) {
  return list[Math.floor(Math.random() * list.length)];
}
