// Sorts a table by the column whose heading is pressed, each group of rows by itself; rows set
// apart and the names of groups stay on top.
for (const table of document.querySelectorAll("table.sortable")) {
  const groups = [...table.tBodies].map((body) => [
    body,
    [...body.rows].filter((row) => !row.matches(".apart, .group")),
  ]);
  if (groups.every(([, competing]) => competing.length < 2)) continue;
  const heads = [...table.querySelectorAll("tr.heads th")];
  const order = (first, second, down) => {
    const [a, b] = [first.dataset.value, second.dataset.value];
    if (a === undefined && b === undefined)
      return first.innerText.localeCompare(second.innerText) * (down ? -1 : 1);
    if (a === undefined || b === undefined) return a === undefined ? 1 : -1; // nulls come last
    return down ? b - a : a - b;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      for (const [body, competing] of groups)
        body.append(
          ...competing
            .slice()
            .sort((first, second) => order(first.cells[column], second.cells[column], down)),
        );
    });
  });
}
