import { createRoot } from "react-dom/client";
import { App } from "./App";
import "./styles.css";
import { startTheme } from "./ui/theme";

startTheme();
const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
// Charts come with the first pages: they are fetched beside the rows, not after them.
void import("./ui/echarts");
