import type { Case } from "./scene.ts";
export const tlsCases: readonly Case[] = [];
