// Sorts a table by the column whose heading is pressed; rows set apart stay on top.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const competing = [...body.rows].filter((row) => !row.classList.contains("apart"));
  if (competing.length < 2) continue;
  const heads = [...table.querySelectorAll("tr.heads th")];
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].innerText;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const ordered = competing.slice().sort((first, second) => {
        const [a, b] = [value(first, column), value(second, column)];
        const order = Number.isNaN(a - b) ? a.localeCompare(b) : a - b;
        return down ? -order : order;
      });
      body.append(...ordered);
    });
  });
}
