// Starts the page, and says when it is ready: data-ready on the root has the milliseconds since it was opened.

function drawScale() {
  const canvas = document.querySelector("#scale canvas"), context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = `rgb(${colourOf(x / (canvas.width - 1)).map(c => Math.round(255 * c))})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}

async function start() {
  listenToTables();
  listenToCharts();
  listenToSections();
  if (SAMPLES?.sample) {
    const scheduler = new Scheduler(await Bodies.load());
    const explorer = new Explorer(scheduler);
    drawScale();
    const memory = new Memory(scheduler, explorer);
    addEventListener("beforeprint", () => scheduler.flush());
    let wide = innerWidth;
    addEventListener("resize", () => {
      if (innerWidth !== wide) [...explorer.detail.views, ...explorer.cards.views, ...memory.views].forEach(view => scheduler.ask(view));
      wide = innerWidth;
    });
    document.getElementById("renderer").textContent = `Drawn by ${scheduler.drawing.name}.`;
    window.pmnetPage = {scheduler, explorer, memory};
    await new Promise(requestAnimationFrame);
  }
  document.documentElement.dataset.ready = Math.round(performance.now());
}

start().catch(error => {
  const words = `The bodies of this page could not be shown: ${error.message}. The tables and charts are complete.`;
  document.getElementById("count").textContent = words;
  console.error(error);
});
