import { Models } from "@/features/models/components/models";

export const metadata = { title: "Models" };

export default function ModelsPage() {
  return <Models />;
}
